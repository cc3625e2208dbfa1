"""What can be traded and by which rules: ticks, lots and limits, from a table or inferred from a book's digits."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.simulated.contracts import Terms
from adapters.simulated.units import SCALE, units

QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY")


class Instrument(Terms, frozen=True, kw_only=True):
    """All amounts in 1e-8. `reference` is where generated flow starts."""

    symbol: str
    tick: int
    step: int
    reference: int = 0
    min_price: int = 0
    max_price: int = 1_000_000 * SCALE
    max_qty: int = 9_000 * SCALE
    min_notional: int = 5 * SCALE
    max_notional: int = 9_000_000 * SCALE
    max_num_orders: int = 200
    max_num_algo_orders: int = 5
    max_num_order_amends: int = 10


def _row(base: str, tick: str, step: str, reference: str, max_qty: str = "9000") -> Instrument:
    return Instrument(
        symbol=f"{base}USDT",
        base=base,
        quote="USDT",
        tick=units(tick),
        step=units(step),
        reference=units(reference),
        min_price=units(tick),
        max_qty=units(max_qty),
    )


# Ticks and lots as the venue's exchangeInfo has them.
TABLE = {
    row.symbol: row
    for row in (
        _row("BTC", "0.01", "0.00001", "61000"),
        _row("ETH", "0.01", "0.0001", "2600"),
        _row("SOL", "0.01", "0.001", "150", "90000"),
        _row("BNB", "0.01", "0.001", "550", "90000"),
        _row("LTC", "0.01", "0.001", "85", "90000"),
        _row("XRP", "0.0001", "0.1", "0.55", "9222449"),
    )
}


def infer(symbol: str, levels: Iterable[tuple[int, int]]) -> Instrument:
    """An instrument for a symbol that the table lacks: the coarsest powers of ten that divide every price and size."""
    base, quote = split(symbol)
    prices, sizes = zip(*levels, strict=True)
    tick = _common_power(prices)
    most = 10**6 * max(*prices, SCALE)
    return Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        tick=tick,
        step=_common_power(sizes),
        min_price=tick,
        max_price=most,
        max_qty=10**4 * max(*sizes, SCALE),
    )


def split(symbol: str) -> tuple[str, str]:
    """Base and quote of a venue's symbol; ValueError when no known quote ends it."""
    for quote in QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    raise ValueError(f"cannot tell base and quote of {symbol}")


def _common_power(values: Iterable[int]) -> int:
    """The largest power of ten, at most 1, that divides them all."""
    power = SCALE
    for value in values:
        while value % power:
            power //= 10
    return power
