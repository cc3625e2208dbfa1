"""What would happen if this order met the book now: a plan, made before anything moves.

A plan decides fill-or-kill, the cost of a market buy and self-trade prevention in one walk; carrying it out is the
core's. https://developers.binance.com/docs/binance-spot-api-docs/faqs/stp_faq
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adapters.simulated.book import Contra
from adapters.simulated.model import Order, SelfTradePrevention, Side
from adapters.simulated.units import SCALE, notional

EXPIRES_MAKER = (SelfTradePrevention.EXPIRE_MAKER, SelfTradePrevention.EXPIRE_BOTH)
EXPIRES_TAKER = (SelfTradePrevention.EXPIRE_TAKER, SelfTradePrevention.EXPIRE_BOTH)


class Step(msgspec.Struct, frozen=True):
    """Trade `qty` with the contra, or prevent that trade."""

    contra: Contra
    qty: int
    prevented: bool = False


class Plan(msgspec.Struct):
    """`taker_expires`: self-trade prevention ends the taker after these steps."""

    steps: list[Step]
    taker_expires: bool = False

    @property
    def filled(self) -> int:
        return sum(step.qty for step in self.steps if not step.prevented)

    def decremented(self, taker: Order) -> int:
        """By how much self-trade prevention shrinks the taker."""
        if taker.self_trade_prevention is not SelfTradePrevention.DECREMENT:
            return 0
        return sum(step.qty for step in self.steps if step.prevented)

    @property
    def cost(self) -> int:
        """In quote; what a market buy has to have."""
        return sum(notional(step.contra.price, step.qty) for step in self.steps if not step.prevented)


def plan_by_quantity(taker: Order, walk: Iterable[Contra]) -> Plan:
    plan, leaves = Plan([]), taker.leaves
    for contra in walk:
        if leaves <= 0:
            break
        if _own(taker, contra):
            leaves -= _prevent(taker, contra, leaves, plan)
            if plan.taker_expires:
                break
        else:
            plan.steps.append(Step(contra, min(leaves, contra.qty)))
            leaves -= plan.steps[-1].qty
    return plan


def plan_by_quote(taker: Order, walk: Iterable[Contra], lot: int) -> Plan:
    """As many whole lots as `taker.quote_qty` buys, or as few as raise it at most."""
    plan, budget = Plan([]), taker.quote_qty
    for contra in walk:
        affordable = budget * SCALE // contra.price // lot * lot
        if affordable <= 0:
            break
        if _own(taker, contra):
            _prevent(taker, contra, affordable, plan)
            if plan.taker_expires or taker.self_trade_prevention is SelfTradePrevention.DECREMENT:
                break
        else:
            plan.steps.append(Step(contra, min(affordable, contra.qty)))
            budget -= notional(contra.price, plan.steps[-1].qty)
    return plan


def needed(side: Side, price: int, qty: int) -> int:
    """What a limit order has to lock: quote to buy, base to sell."""
    return notional(price, qty) if side is Side.BUY else qty


def _own(taker: Order, contra: Contra) -> bool:
    prevents = taker.self_trade_prevention is not SelfTradePrevention.NONE
    return prevents and contra.order is not None and contra.order.account == taker.account


def _prevent(taker: Order, contra: Contra, leaves: int, plan: Plan) -> int:
    """Note what is prevented; returns by how much the taker shrinks."""
    mode = taker.self_trade_prevention
    plan.taker_expires = mode in EXPIRES_TAKER
    if mode is SelfTradePrevention.DECREMENT:
        plan.steps.append(Step(contra, min(leaves, contra.qty), prevented=True))
        return plan.steps[-1].qty
    plan.steps.append(Step(contra, contra.qty, prevented=True))
    return 0
