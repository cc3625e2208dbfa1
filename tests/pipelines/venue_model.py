"""A venue made of a seed: its true book at every update id, and the frames it would send about it."""

import json
import random
from typing import Any

from adapters.base import rest_frame, session_frame
from pipelines.raw import encode_line

INSTRUMENT = "sim:BTC-USDT"
SYMBOL = "BTCUSDT"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000

Side = dict[int, int]
Top = tuple[list[tuple[str, str]], list[tuple[str, str]]]


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}000000"


class VenueModel:
    """``truth``: the whole book, best first, as digits, at every update id that a frame ends with."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.bids: Side = {10_000 - i: 100 + i for i in range(10)}
        self.asks: Side = {10_001 + i: 100 + i for i in range(10)}
        self.sequence = 1000
        self.trades = 0
        self.now = START_NS
        self.truth: dict[int, Top] = {1000: self.book()}

    def book(self) -> Top:
        return (
            [(_text(p), _text(q)) for p, q in sorted(self.bids.items(), reverse=True)],
            [(_text(p), _text(q)) for p, q in sorted(self.asks.items())],
        )

    def depth(self) -> bytes:
        """The next depth frame: one to four changes."""
        bids: Side = {}
        asks: Side = {}
        first = self.sequence + 1
        for _ in range(self._random.randint(1, 4)):
            self.sequence += 1
            self._change(bids, asks)
        self.now += STEP_NS
        self.truth[self.sequence] = self.book()
        return self._event("depthUpdate", U=first, u=self.sequence, b=_levels(bids), a=_levels(asks))

    def _change(self, bids: Side, asks: Side) -> None:
        """One level of one side, never crossing, never emptying."""
        side, told = (self.bids, bids) if self._random.random() < 0.5 else (self.asks, asks)
        best_other = min(self.asks) if side is self.bids else max(self.bids)
        price = best_other + self._random.randint(1, 12) * (-1 if side is self.bids else 1)
        size = self._random.choice([0, 1, 50, 200, 999])
        if size == 0 and (len(side) < 3 or price not in side):
            size = 7
        told[price] = size
        if size:
            side[price] = size
        else:
            del side[price]

    def snapshot(self) -> bytes:
        bids, asks = self.book()
        body = json.dumps({"lastUpdateId": self.sequence, "bids": bids, "asks": asks})
        return rest_frame("depth", SYMBOL, body.encode())

    def quote(self) -> bytes:
        (bid, bid_size), (ask, ask_size) = self.book()[0][0], self.book()[1][0]
        said = {"u": self.sequence, "s": SYMBOL, "b": bid, "B": bid_size, "a": ask, "A": ask_size}
        return _combined("bookTicker", said)

    def trade(self) -> bytes:
        self.trades += 1
        price, size = _text(min(self.asks)), _text(self._random.randint(1, 300))
        return self._event("trade", t=self.trades, p=price, q=size, T=self._ms(), m=False, M=True)

    def session(self, n: int = 1) -> bytes:
        return session_frame(f"1-{n}", SYMBOL)

    def _event(self, kind: str, **fields: Any) -> bytes:
        return _combined(
            "depth@100ms" if kind == "depthUpdate" else kind, {"e": kind, "E": self._ms(), "s": SYMBOL, **fields}
        )

    def _ms(self) -> int:
        return self.now // 1_000_000

    def line(self, frame: bytes) -> bytes:
        return encode_line(self.now, INSTRUMENT, frame)


def _combined(stream: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": data}, separators=(",", ":")).encode()


def _levels(side: Side) -> list[list[str]]:
    return [[_text(price), _text(size)] for price, size in side.items()]


def raw_stream(seed: int, steps: int, snapshot_at: int = 3) -> tuple[VenueModel, list[bytes]]:
    """A connection's frames: session, depth, quotes and trades, a snapshot after ``snapshot_at`` depth frames."""
    model = VenueModel(seed)
    frames = [model.session()]
    for i in range(steps):
        frames += [model.depth(), model.quote(), model.trade()]
        if i == snapshot_at:
            frames.append(model.snapshot())
    return model, frames
