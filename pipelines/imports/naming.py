"""Which instrument a file's symbol is: as the venue's own adapter names it, so that both sources agree."""

import re
from decimal import Decimal
from typing import NamedTuple

from adapters.binance.symbols import QUOTES
from adapters.registry import adapters, market_data
from infra.errors import Hopeless
from topics.record import InstrumentId, Venue

LINEAR_IN_USD = ("hyperliquid", "coinbase", "kraken_futures", "bitstamp")
"""Their perpetuals priced in dollars are settled in them, but for those whose id ends with -INV."""
OPTIONS_IN_BASE = ("okx", "deribit")
"""Their options are priced and settled in the base."""
IN_CONTRACTS = ("okx", "gateio", "kucoin", "bitmex")
"""Sizes of their linear contracts are counted in contracts, whose size differs from one to another."""
_ID = re.compile(r"[^:]+:(?P<base>[^-]+)-(?P<quote>[^-]+)(?P<rest>-.+)?")


class Listed(NamedTuple):
    instrument: InstrumentId
    venue: Venue
    venue_symbol: str
    base: str
    quote: str
    kind: str
    inverse: bool = False
    settle: str = ""
    multiplier: Decimal = Decimal(1)


class Naming:
    """``venue``: a configured venue's name; ``adapter``: what it is an instance of, "" where no adapter knows it.

    ``given``: what is after the venue in the id, such as BTC-USDT-PERP, where the symbol alone does not tell.
    """

    def __init__(self, venue: Venue, adapter: str = "", given: str = "", kind: str = "") -> None:
        self._venue, self._given, self._kind = venue, given, kind
        self._adapter = adapter or (venue if venue in adapters() else "")
        self._known: dict[str, Listed] = {}

    def listed(self, symbol: str, kind: str = "") -> Listed:
        """Hopeless where it cannot be told."""
        found = self._known.get(symbol)
        if found is None:
            found = self._known[symbol] = self._listed(symbol, kind)
        return found

    def equity(self, symbol: str) -> Listed:
        """A US stock is priced in dollars."""
        name = self._given or f"{symbol.upper()}-USD"
        return self._known.setdefault(symbol, self._of(f"{self._venue}:{name}", symbol.upper(), "equity"))

    def all(self) -> list[Listed]:
        return list(self._known.values())

    def _listed(self, symbol: str, kind: str) -> Listed:
        if self._given:
            if self._known:
                raise Hopeless(f"--instrument names one, and there are {symbol} and {next(iter(self._known))}")
            return self._of(f"{self._venue}:{self._given}", symbol, kind)
        return self._of(self._by_adapter(symbol) or self._by_quote(symbol), symbol, kind)

    def _by_adapter(self, symbol: str) -> InstrumentId:
        if not self._adapter:
            return ""
        try:
            return market_data(self._adapter).instrument_of(self._venue, symbol)
        except ValueError:
            return ""
        except ModuleNotFoundError:
            return ""

    def _by_quote(self, symbol: str) -> InstrumentId:
        parts = re.split(r"[-_/]", symbol.upper())
        if len(parts) == 2:
            return f"{self._venue}:{parts[0]}-{parts[1]}"
        fitting = [q for q in QUOTES if symbol.upper().endswith(q) and len(symbol) > len(q)]
        if len(parts) > 2 or not fitting:
            raise Hopeless(
                f"which instrument is {symbol!r} of {self._venue}? say it with --instrument, as BTC-USDT-PERP"
            )
        quote = max(fitting, key=len)
        return f"{self._venue}:{symbol.upper().removesuffix(quote)}-{quote}"

    def _of(self, instrument: InstrumentId, symbol: str, kind: str) -> Listed:
        found = _ID.fullmatch(instrument)
        if found is None:
            raise Hopeless(f"{instrument!r} is no instrument: as {self._venue}:BTC-USDT or {self._venue}:BTC-USDT-PERP")
        kind = self._kind or kind or self._kind_of(found["quote"], found["rest"] or "")
        base, quote, rest = found["base"], found["quote"], found["rest"] or ""
        inverse = kind == "inverse" or (kind == "future" and self._is_inverse(quote, rest))
        in_base = inverse or (kind == "option" and self._adapter in OPTIONS_IN_BASE)
        multiplier = self._multiplier(base, inverse) if rest else Decimal(1)
        return Listed(instrument, self._venue, symbol, base, quote, kind, inverse, base if in_base else "", multiplier)

    def _is_inverse(self, quote: str, rest: str) -> bool:
        known = bool(self._adapter) and self._adapter not in LINEAR_IN_USD
        return rest.endswith("-INV") or (quote == "USD" and known)

    def _multiplier(self, base: str, inverse: bool) -> Decimal:
        """What a contract is, as far as the venue has one rule for all of them."""
        if self._adapter == "binance_coinm":
            return Decimal(100 if base == "BTC" else 10)
        if self._adapter == "okx" and inverse:
            return Decimal(100 if base == "BTC" else 10)
        return Decimal(0 if self._adapter in IN_CONTRACTS and not inverse else 1)

    def _kind_of(self, quote: str, rest: str) -> str:
        if not rest:
            return "spot"
        if rest == "-PERP-INV":
            return "inverse"
        if rest == "-PERP":
            return "inverse" if quote == "USD" and self._adapter not in LINEAR_IN_USD else "linear"
        return "option" if re.search(r"-[CP]$", rest) else "future"
