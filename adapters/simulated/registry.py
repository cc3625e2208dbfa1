"""Every order of every account, found by id, by client id, and among the open ones.

The market's own orders are forgotten when they end; a client's are kept, a client id names its latest order.
"""

from __future__ import annotations

from adapters.simulated.model import Order, OrderReport

Key = tuple[str, str]


class Registry:
    """Keys are (account, symbol); lists are in the order of creation."""

    def __init__(self) -> None:
        self._last_id = 0
        self._by_id: dict[Key, dict[int, Order]] = {}
        self._by_client: dict[Key, dict[str, Order]] = {}
        self._open: dict[Key, dict[int, Order]] = {}
        self._executions: dict[Key, list[OrderReport]] = {}

    def begin_life(self, first_id: int) -> None:
        self._last_id = first_id

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def add(self, order: Order) -> None:
        key = (order.account, order.symbol)
        self._by_id.setdefault(key, {})[order.order_id] = order
        self._by_client.setdefault(key, {})[order.client_order_id] = order
        self._open.setdefault(key, {})[order.order_id] = order

    def rename(self, order: Order, client_order_id: str) -> None:
        names = self._by_client[order.account, order.symbol]
        if names.get(order.client_order_id) is order:
            del names[order.client_order_id]
        order.client_order_id = client_order_id
        names[client_order_id] = order

    def close(self, order: Order, *, forget: bool) -> None:
        key = (order.account, order.symbol)
        self._open[key].pop(order.order_id, None)
        if forget:
            del self._by_id[key][order.order_id]
            if self._by_client[key].get(order.client_order_id) is order:
                del self._by_client[key][order.client_order_id]

    def find(self, account: str, symbol: str, order_id: int | None, client_order_id: str | None) -> Order | None:
        """By id, by client id, or by both, which then must agree."""
        key = (account, symbol)
        if order_id is None:
            return self._by_client.get(key, {}).get(client_order_id or "")
        order = self._by_id.get(key, {}).get(order_id)
        if order is not None and client_order_id is not None and order.client_order_id != client_order_id:
            return None
        return order

    def open(self, account: str, symbol: str) -> list[Order]:
        return list(self._open.get((account, symbol), {}).values())

    def count_open(self, account: str, symbol: str) -> int:
        return len(self._open.get((account, symbol), ()))

    def count_stops(self, account: str, symbol: str) -> int:
        """Stop orders among the open ones, triggered or not."""
        return sum(order.type.waits for order in self._open.get((account, symbol), {}).values())

    def every_open(self) -> list[Order]:
        """Of every account, in the order in which they met the book."""
        return sorted((order for orders in self._open.values() for order in orders.values()), key=_age)

    def all(self, account: str, symbol: str) -> list[Order]:
        return list(self._by_id.get((account, symbol), {}).values())

    def execute(self, report: OrderReport) -> None:
        self._executions.setdefault((report.order.account, report.order.symbol), []).append(report)

    def executions(self, account: str, symbol: str) -> list[OrderReport]:
        return self._executions.get((account, symbol), [])


def _age(order: Order) -> tuple[int, int]:
    return order.working_ns, order.order_id
