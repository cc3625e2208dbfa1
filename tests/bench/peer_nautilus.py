"""Runs in a virtual environment of its own, with nautilus_trader: quotes a second through its backtest engine, by processor time.

The strategy quotes both sides at the touch, one order a side, and replaces an order when it is too far off, as the
two-sided quoter does. Argument: a JSON file of [bid, bid size, ask, ask size, ts_event, ts_init].
"""

import json
import statistics
import sys
import time
from decimal import Decimal
from pathlib import Path

from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

REPETITIONS = 3
REQUOTE = 0.000005
EVERY_NS = 500_000_000


class Quoter(Strategy):
    def __init__(self, instrument):
        super().__init__()
        self.instrument = instrument
        self.quantity = instrument.make_qty(Decimal("0.01"))
        self.held = {OrderSide.BUY: 0, OrderSide.SELL: 0}
        self.last = None

    def on_start(self):
        self.subscribe_quote_ticks(self.instrument.id)

    def on_quote_tick(self, tick):
        top = (tick.bid_price, tick.bid_size, tick.ask_price, tick.ask_size)
        if top == self.last:
            return
        self.last = top
        working = {o.side: o for o in self.cache.orders_open(strategy_id=self.id)}
        for side, wanted in ((OrderSide.BUY, tick.bid_price), (OrderSide.SELL, tick.ask_price)):
            order = working.get(side)
            if order is not None:
                far = abs(float(order.price) - float(wanted)) >= float(wanted) * REQUOTE
                if far and not order.is_pending_cancel:
                    self.cancel_order(order)
            elif tick.ts_event >= self.held[side]:
                self.held[side] = tick.ts_event + EVERY_NS
                self.submit_order(
                    self.order_factory.limit(self.instrument.id, side, self.quantity, wanted, post_only=True)
                )


def measured(instrument, ticks):
    engine = BacktestEngine(config=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(1_000_000, USDT), Money(10, BTC)],
    )
    engine.add_instrument(instrument)
    engine.add_data(ticks)
    engine.add_strategy(Quoter(instrument))
    began = time.process_time()
    engine.run()
    took = time.process_time() - began
    orders = len(engine.cache.orders())
    engine.dispose()
    return len(ticks) / took, orders


def main():
    instrument = TestInstrumentProvider.btcusdt_binance()
    rows = json.loads(Path(sys.argv[1]).read_bytes())
    ticks = [
        QuoteTick(
            instrument.id,
            Price(float(bid), instrument.price_precision),
            Price(float(ask), instrument.price_precision),
            Quantity(float(bid_size), instrument.size_precision),
            Quantity(float(ask_size), instrument.size_precision),
            ts_event,
            ts_init,
        )
        for bid, bid_size, ask, ask_size, ts_event, ts_init in rows
    ]
    found = [measured(instrument, ticks) for _ in range(REPETITIONS)]
    print(f"{found[-1][1]} orders", file=sys.stderr)
    print(statistics.median(rate for rate, _ in found))


if __name__ == "__main__":
    main()
