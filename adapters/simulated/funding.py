"""What an order locks of its account's balance, from acceptance to its end.

An order with a limit locks what its rest costs at the limit; a stop order without one, while it waits, what its rest
costs at the stop price; one without a limit that works, what its plan costs. Of contracts see `contracts.margins`.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.simulated.contracts import Position, margins
from adapters.simulated.instruments import Instrument
from adapters.simulated.matching import Plan, needed
from adapters.simulated.model import Order, Side
from adapters.simulated.registry import Registry
from adapters.simulated.units import share
from adapters.simulated.wallets import Wallets


class Funding:
    """`order.locked` is at any time what the wallet holds locked for it."""

    def __init__(self, instruments: Mapping[str, Instrument], wallets: Wallets, registry: Registry, rate: int) -> None:
        self._instruments = instruments
        self._wallets = wallets
        self._registry = registry
        self._rate = rate
        self.positions: dict[tuple[str, str], Position] = {}

    def paid_in(self, order: Order) -> str:
        instrument = self._instruments[order.symbol]
        if instrument.is_contract:
            return instrument.settle
        return instrument.quote if order.side is Side.BUY else instrument.base

    def lock(self, order: Order, plan: Plan) -> bool:
        """For a new order; False, and nothing locked, when the account has less. Of a contract it is locked once it stands."""
        if self._instruments[order.symbol].is_contract:
            return self._affords(order, plan)
        by_price = order.type.priced or order.type.waits
        return self._lock(order, _by_price(order) if by_price else _by_plan(order, plan))

    def lock_again(self, order: Order, plan: Plan) -> bool:
        """For a stop order that begins to work; False, and nothing locked, when its plan costs more than there is."""
        if order.type.priced:
            return True
        if self._instruments[order.symbol].is_contract:
            self.relock(order.account, order.symbol)
            return self._affords(order, plan)
        self._release(order, order.locked)
        return self._lock(order, _by_plan(order, plan))

    def spend(self, order: Order, amount: int) -> None:
        order.locked -= amount
        self._wallets.spend_locked(order.account, self.paid_in(order), amount)

    def release_excess(self, order: Order) -> None:
        """Unlock what the order can no longer need."""
        if self._instruments[order.symbol].is_contract:
            self.relock(order.account, order.symbol)
            return
        if not order.status.open:
            self._release(order, order.locked)
        elif order.type.priced or not order.working:
            self._release(order, order.locked - _by_price(order))

    # Contracts

    def position(self, account: str, symbol: str) -> Position:
        return self.positions.setdefault((account, symbol), Position())

    def settle(self, order: Order, qty: int, value: int) -> int:
        """The position after a trade, with its margin; what the trade gains, which somebody else has to pay."""
        terms, position = self._instruments[order.symbol], self.position(order.account, order.symbol)
        before = position.margin
        gain = position.trade(terms, order.side, qty, value)
        self._wallets.shift(order.account, terms.settle, position.margin - before)
        return gain

    def relock(self, account: str, symbol: str) -> None:
        """What the account's open orders lock, as its position is now."""
        if self._wallets.is_unlimited(account):
            return
        terms, orders = self._instruments[symbol], self._registry.open(account, symbol)
        for order, amount in margins(terms, self.position(account, symbol).qty, orders):
            self._wallets.shift(account, terms.settle, amount - order.locked)
            order.locked = amount

    def _affords(self, order: Order, plan: Plan) -> bool:
        """What it would open, at the prices that it meets and for the rest at its own, with the fee."""
        terms, qty = self._instruments[order.symbol], self.position(order.account, order.symbol).qty
        others = [one for one in self._registry.open(order.account, order.symbol) if one is not order]
        closes = max(-qty if order.side is Side.BUY else qty, 0)
        closes -= sum(one.leaves for one in others if one.side is order.side)
        need, left = 0, order.leaves
        for price, size in [*((s.contra.price, s.qty) for s in plan.steps if not s.prevented), (_limit(order), left)]:
            size = min(size, left)
            left -= size
            opens = size - min(max(closes, 0), size)
            closes -= size - opens
            need += terms.value(price, opens) if price else 0
        fee = max(share(need, self._rate), 0)
        return need == 0 or self._wallets.affords(order.account, terms.settle, need + fee)

    # Spot

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


def _limit(order: Order) -> int:
    return order.price or (0 if order.working else order.stop_price)


def _by_price(order: Order) -> int:
    return needed(order.side, order.price or order.stop_price, order.leaves)


def _by_plan(order: Order, plan: Plan) -> int:
    return plan.cost if order.side is Side.BUY else order.leaves
