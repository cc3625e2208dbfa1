"""A capture of generated flow: what the simulated exchange would have sent, as hftbacktest's lines, one file per symbol."""

import gzip
from pathlib import Path
from typing import Any

import orjson

from adapters.simulated import frames, wire
from adapters.simulated.book import PriceTimeBook
from adapters.simulated.core import Core
from adapters.simulated.flow import Place, flow
from adapters.simulated.instruments import TABLE
from adapters.simulated.model import Printed, Side
from adapters.simulated.players import market_order
from adapters.simulated.settlement import MARKET

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
DEPTH_NS = SECOND // 10


class Recorder:
    """Plays the flow and writes down its frames, received the moment they were sent."""

    def __init__(self, folder: Path, symbols: list[str]) -> None:
        self.paths = {s: folder / f"{s.lower()}.gz" for s in symbols}
        self._lines: dict[str, list[bytes]] = {s: [] for s in symbols}
        self._core = Core([TABLE[s] for s in symbols])
        self._touch: dict[str, Any] = {}

    def record(self, seed: int, seconds: int) -> list[Path]:
        next_depth = DEPTH_NS
        for action in flow(self._core.instruments.values(), seed):
            if action.at_ns > seconds * SECOND:
                break
            while action.at_ns > 0 and next_depth <= action.at_ns:
                self._depth(START + next_depth)
                next_depth += DEPTH_NS
            now = START + action.at_ns
            if isinstance(action, Place):
                events = self._core.submit(now, market_order(action))
            else:
                events = self._core.cancel(now, MARKET, action.symbol, client_order_id=action.client_order_id)
            if action.at_ns > 0:
                self._tell(now, action.symbol, [e for e in events if isinstance(e, Printed)])
        return [self._write(symbol) for symbol in self.paths]

    def _tell(self, now: int, symbol: str, trades: list[Printed]) -> None:
        for trade in trades:
            self._frame(now, symbol, "trade", frames.trade_frame(trade))
        market = self._core.market(symbol)
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        if bid is not None and ask is not None and self._touch.get(symbol) != (bid, ask):
            self._touch[symbol] = (bid, ask)
            self._frame(now, symbol, "bookTicker", frames.book_ticker_frame(symbol, market.update_id, bid, ask))

    def _depth(self, now: int) -> None:
        for symbol, lines in self._lines.items():
            book = self._core.market(symbol)
            assert isinstance(book, PriceTimeBook)
            changes = book.take_changes()
            if changes is not None:
                self._frame(now, symbol, "depth@100ms", frames.depth_frame(now, symbol, *changes))
            if not any(b'"lastUpdateId"' in line for line in lines):
                snapshot = wire.depth(book.update_id, *book.depth(1000))
                lines.append(b"%d %b\n" % (now, orjson.dumps(snapshot)))

    def _frame(self, now: int, symbol: str, stream: str, data: Any) -> None:
        frame = orjson.dumps({"stream": f"{symbol.lower()}@{stream}", "data": data})
        self._lines[symbol].append(b"%d %b\n" % (now, frame))

    def _write(self, symbol: str) -> Path:
        with gzip.open(self.paths[symbol], "wb", compresslevel=1) as file:
            file.writelines(self._lines[symbol])
        return self.paths[symbol]


def record_flow(
    folder: Path, seed: int, seconds: int, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
) -> list[Path]:
    """The files of so many seconds of flow, in the order of the symbols."""
    return Recorder(folder, list(symbols)).record(seed, seconds)
