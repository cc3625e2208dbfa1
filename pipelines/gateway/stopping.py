"""The last thing a gateway does: no open order of ours is left at the venue, as far as that goes in the time there is."""

import asyncio
import logging
import time

from pipelines.gateway.engine import Engine
from pipelines.gateway.state import Held

log = logging.getLogger(__name__)

AGAIN_S = 1.0
LOOK_S = 0.05


async def cancel_everything(engine: Engine, command_id: str, why: str, deadline: float) -> list[str]:
    """Until the venue has confirmed it for every order that is ours, or ``deadline`` (``time.monotonic()``); the orders
    that may still be working then. Whatever may be broken, it raises nothing: it is also how a gateway ends that has failed.
    """
    asked: dict[str, float] = {}
    while (ours := _ours(engine)) and not engine.lease.fenced and time.monotonic() < deadline:
        for held in ours:
            due = asked.get(held.client_order_id, 0.0) <= time.monotonic() - AGAIN_S
            if due and not engine.is_canceling(held):
                asked[held.client_order_id] = time.monotonic()
                engine.insist(held, command_id, why)
        await asyncio.sleep(LOOK_S)
    left = [held.client_order_id for held in ours]
    if left:
        log.error("%d orders may still be working at the venue: %s", len(left), ", ".join(left))
    return left


def _ours(engine: Engine) -> list[Held]:
    return [h for h in engine.state.book.open_orders() if h.command is not None]
