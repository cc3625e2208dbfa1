"""What an order locks of its account's balance, from acceptance to its end.

An order with a limit locks what its rest costs at the limit; a stop order without one, while it waits, what its rest
costs at the stop price; one without a limit that works, what its plan costs.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.simulated.instruments import Instrument
from adapters.simulated.matching import Plan, needed
from adapters.simulated.model import Order, Side
from adapters.simulated.wallets import Wallets


class Funding:
    """`order.locked` is at any time what the wallet holds locked for it."""

    def __init__(self, instruments: Mapping[str, Instrument], wallets: Wallets) -> None:
        self._instruments = instruments
        self._wallets = wallets

    def paid_in(self, order: Order) -> str:
        instrument = self._instruments[order.symbol]
        return instrument.quote if order.side is Side.BUY else instrument.base

    def lock(self, order: Order, plan: Plan) -> bool:
        """For a new order; False, and nothing locked, when the account has less."""
        by_price = order.type.priced or order.type.waits
        return self._lock(order, _by_price(order) if by_price else _by_plan(order, plan))

    def lock_again(self, order: Order, plan: Plan) -> bool:
        """For a stop order that begins to work; False, and nothing locked, when its plan costs more than there is."""
        if order.type.priced:
            return True
        self._release(order, order.locked)
        return self._lock(order, _by_plan(order, plan))

    def spend(self, order: Order, amount: int) -> None:
        order.locked -= amount
        self._wallets.spend_locked(order.account, self.paid_in(order), amount)

    def release_excess(self, order: Order) -> None:
        """Unlock what the order can no longer need."""
        if not order.status.open:
            self._release(order, order.locked)
        elif order.type.priced or not order.working:
            self._release(order, order.locked - _by_price(order))

    def _lock(self, order: Order, amount: int) -> bool:
        asset = self.paid_in(order)
        if not self._wallets.affords(order.account, asset, amount):
            return False
        self._wallets.lock(order.account, asset, amount)
        order.locked = amount
        return True

    def _release(self, order: Order, amount: int) -> None:
        order.locked -= amount
        self._wallets.unlock(order.account, self.paid_in(order), amount)


def _by_price(order: Order) -> int:
    return needed(order.side, order.price or order.stop_price, order.leaves)


def _by_plan(order: Order, plan: Plan) -> int:
    return plan.cost if order.side is Side.BUY else order.leaves
