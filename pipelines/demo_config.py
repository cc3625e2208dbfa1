"""What the demo trades: the exchange's arguments and the configuration it writes, with the parameters of the three strategies."""

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

KEY, SECRET = "TAPEDECK_SIM_API_KEY", "TAPEDECK_SIM_API_SECRET"
ORDER_VALUE = Decimal(600)  # of one order, in quote currency, roughly


def exchange_arguments(capture: Path | None, speed: float, seed: int) -> list[str]:
    if capture is not None:
        return ["--capture", str(capture.absolute()), "--speed", str(speed)]
    return ["--seed", str(seed)]


def order_qty(price: Decimal) -> Decimal:
    """About ORDER_VALUE, as a number of one digit."""
    exact = ORDER_VALUE / price
    return exact.quantize(Decimal(1).scaleb(exact.adjusted()), ROUND_HALF_UP)


def instrument_of(symbol: str) -> str:
    """``sim:BTC-USDT`` for BTCUSDT; every symbol of the demo is quoted in USDT."""
    return f"sim:{symbol.removesuffix('USDT')}-USDT"


def toml(name: str, home: Path, address: str, prices: Mapping[str, Decimal], played: bool) -> str:
    """``prices`` by the exchange's symbol. With generated flow each strategy has an instrument of its own; on a capture all share its one."""
    instruments = [instrument_of(s) for s in prices]
    of = {
        s: instruments[0] if played else instruments[i % len(instruments)]
        for i, s in enumerate(("buyer", "quoter", "cross"))
    }
    qty = {instrument_of(s): order_qty(price) for s, price in prices.items()}
    return f"""\
# Written by 'tapedeck demo'. The keys stand in the environment of the demo's own processes.
[run]
name = {json.dumps(name)}
home = {json.dumps(str(home))}

[venues.sim]
adapter = "binance"
rest_url = "http://{address}/api/v3"
ws_url = "ws://{address}/stream"
ws_api_url = "ws://{address}/ws-api/v3"

[accounts."sim.main"]
api_key_env = "{KEY}"
api_secret_env = "{SECRET}"
reporting_currency = "USDT"

[[limits]]
scope = "firm"
price_collar = "0.02"
max_order_value = "50000"
max_position_value = "200000"
max_orders_per_second = "50"
max_data_age = "5"

[[limits]]
scope = "account:sim.main"
max_position_value = "150000"

[strategies.buyer]
class = "strategies.spread_buyer:SpreadBuyer"
account = "sim.main"
instruments = ["{of["buyer"]}"]
[strategies.buyer.params]
order_qty = "{qty[of["buyer"]]}"
max_spread_bps = "1"
min_gain_bps = "0.1"
max_hold_s = 1
repeg_bps = "0.02"

[strategies.quoter]
class = "strategies.two_sided_quoter:TwoSidedQuoter"
account = "sim.main"
instruments = ["{of["quoter"]}"]
[strategies.quoter.params]
order_qty = "{qty[of["quoter"]]}"
max_qty = "{5 * qty[of["quoter"]]}"
half_spread_bps = "{"0.2" if played else "0.05"}"

[strategies.cross]
class = "strategies.moving_average_cross:MovingAverageCross"
account = "sim.main"
instruments = ["{of["cross"]}"]
bars = ["time-1s"]
[strategies.cross.params]
fast = 1
slow = 3
order_qty = "{qty[of["cross"]]}"
max_qty = "{3 * qty[of["cross"]]}"
allow_short = true
slippage_bps = "0.1"
"""
