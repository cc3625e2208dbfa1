"""The server, and the recording's way through it.

Frames go, in the recorded order, to whoever subscribed to what they are about; those about nothing to whoever gets others of
their connection. Nothing is played to nobody: the recording stands still at the first frame of an instrument until somebody
subscribes to it, and again when its last subscriber is gone, each for ``patience_s`` at most. It stands still too where it has
a book of REST, until somebody asked for it.
"""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from aiohttp import WSMsgType, web

from adapters.base import Snapshots
from adapters.wording import Telling, told
from infra.captures import Item, Kind
from pipelines.player.answers import Answers
from pipelines.player.kept import Kept
from pipelines.player.recording import Recording
from pipelines.player.seats import Seat, Spelling
from topics.record import InstrumentId

log = logging.getLogger("tapedeck.player")

MAX = float("inf")
AT_ONCE = 100
"""Frames sent before others get their turn."""
ARRIVES_S = 0.02
"""How long an answer of REST is on its way before the recording goes on."""
ANSWER_S = 8.0
LOOK_EVERY = 10


class Faults(NamedTuple):
    """By the place of an item in the recording: frames that are not sent, sent twice, or before which all connections break."""

    lost: frozenset[int] = frozenset()
    repeated: frozenset[int] = frozenset()
    cut: frozenset[int] = frozenset()


NO_FAULTS = Faults()


class Player:
    """``state`` is waiting, playing, held or ended; ``sent`` counts frames, ``unheard`` those that nobody was there for.

    ``hold``: play only until every subscribed instrument has its book, at once; go on when told to (``begin``, or ``POST
    /control/start``).
    """

    def __init__(
        self,
        recording: Recording,
        speed: float = 1.0,
        faults: Faults = NO_FAULTS,
        patience_s: float = 5.0,
        hold: bool = False,
    ) -> None:
        self.recording = recording
        self.state = "waiting"
        self.place = 0
        self.sent = self.unheard = 0
        self._speed = speed
        self._faults = faults
        self._patience_s = patience_s
        self._kept = Kept(recording)
        self._spelling = Spelling(recording.adapter, recording.symbols)
        self._answers = Answers(recording, self._book)
        self._seats: list[Seat] = []
        self._of: dict[InstrumentId, list[Seat]] = {i: [] for i in recording.symbols}
        self._change = asyncio.Event()
        self._changed_at = 0.0
        self._alone: set[InstrumentId] = set()
        self._begun: set[InstrumentId] = set()
        self._passed: dict[InstrumentId, bytes] = {}
        self._given: set[InstrumentId] = set()
        self._last_depth: dict[InstrumentId, int] = {}
        self._waiting: set[InstrumentId] = set()
        self._one_at_a_time = threading.Lock()
        self._held_s = 0.0
        self._numbers: dict[str, int] = {}
        self._told_to_begin = asyncio.Event()
        if not hold:
            self._told_to_begin.set()
        self._runner: web.AppRunner | None = None
        self.address = ""

    def begin(self) -> None:
        self._told_to_begin.set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve. OSError when the port is taken."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.address = "{}:{}".format(*self._runner.addresses[0][:2])
        await self._answers.learn(f"http://{self.address}")

    async def close(self) -> None:
        """What was sent arrives before the connections end."""
        await asyncio.gather(*(seat.socket.close() for seat in list(self._seats)))
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> "Player":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def undefined(self) -> list[InstrumentId]:
        """What the recording has no definition of."""
        return self._answers.undefined

    # --- who comes ----------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(request)
        if (request.method, request.path) == ("POST", "/control/start"):
            self.begin()
            return web.json_response({"state": self.state})
        return await self._answers.handle(request)

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        seat = Seat(socket, request.path)
        self._seats.append(seat)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._heard(seat, message.data)
        except ConnectionError:
            pass
        finally:
            self._leave(seat)
        return socket

    async def _heard(self, seat: Seat, message: str) -> None:
        if message == "ping":
            await seat.socket.send_str("pong")
        if "subscribe" not in message.lower() or "unsubscribe" in message.lower():
            return
        for instrument in self._spelling.instruments_in(message, seat.path):
            if instrument not in seat.instruments:
                self._take(seat, instrument)
            elif message in self.recording.adapter.resubscribe(self.recording.symbols[instrument]):
                seat.due.add(instrument)
        self._seats_changed()
        if self.state == "ended":
            await self._begin_anew(seat, self.place)

    def _take(self, seat: Seat, instrument: InstrumentId) -> None:
        seat.instruments.add(instrument)
        self._of[instrument].append(seat)
        self._alone.discard(instrument)
        if instrument in self._begun and self.recording.adapter.rules.snapshots is Snapshots.STREAM:
            seat.due.add(instrument)

    def _seats_changed(self) -> None:
        self._changed_at = time.monotonic()
        self._wake()

    def _leave(self, seat: Seat) -> None:
        if seat in self._seats:
            self._seats.remove(seat)
            for instrument in seat.instruments:
                self._of[instrument].remove(seat)
                if not self._of[instrument]:
                    self._given.discard(instrument)
                    self._passed.pop(instrument, None)
            self._seats_changed()

    def _abort(self, seat: Seat) -> None:
        """It ends without a word."""
        request = seat.socket._req
        if request is not None and request.transport is not None:
            request.transport.abort()
        self._leave(seat)

    # --- the recording ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """To its end, once somebody subscribed. CaptureError where the recording breaks off."""
        await self._somebody()
        self.state = "playing"
        began = first = 0.0
        for n, item in self.recording.places():
            self.place = n
            held = not self._told_to_begin.is_set()
            if held and n % LOOK_EVERY == 0 and self._booked(n):
                self.state = "held"
                await self._told_to_begin.wait()
                self.state, self._held_s, began = "playing", 0.0, 0.0
            elif not held and self._speed != MAX and item.kind is Kind.FRAME:
                if not began:
                    began, first = time.monotonic(), item.ts / 1e9
                await asyncio.sleep(began + self._held_s + (item.ts / 1e9 - first) / self._speed - time.monotonic())
            elif n % AT_ONCE == 0:
                await asyncio.sleep(0)
            match item.kind:
                case Kind.FRAME:
                    await self._frame(n, item)
                case Kind.ANSWER if n in self.recording.depth:
                    await self._answer(n)
        self.place += 1
        await self._collected()
        self.state = "ended"

    def _booked(self, n: int) -> bool:
        """Whether there is a book for everybody; where there is none in half of the recording nobody waits for it."""
        with self._one_at_a_time:
            states = [self._kept.at(n, instrument) for instrument, seats in self._of.items() if seats]
        return n > self.recording.frames // 2 or all(state and state.book.book for state in states)

    async def _somebody(self) -> None:
        while not any(self._of.values()):
            await self._wait(None)

    async def _wait(self, timeout_s: float | None) -> bool:
        """For a change of who listens, or asks, or is answered; False when none came in time."""
        change = self._change
        try:
            async with asyncio.timeout(timeout_s):
                await change.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def _frame(self, n: int, item: Item) -> None:
        instruments = self.recording.instruments_of(item)
        for instrument in instruments:
            if not self._of[instrument]:
                await self._subscribed(instrument)
            self._begun.add(instrument)
        if n in self._faults.cut:
            for seat in list(self._seats):
                self._abort(seat)
            for instrument in instruments:
                await self._subscribed(instrument)
        seats = self._listeners(instruments or self.recording.connections.get(item.connection, ()))
        for seat in seats:
            if seat.due:
                await self._begin_anew(seat, n)
        times = 0 if n in self._faults.lost else 2 if n in self._faults.repeated else 1
        await self._send(item, seats, times)

    async def _begin_anew(self, seat: Seat, n: int) -> None:
        """Books for who came later than their snapshots, or asked again."""
        due, seat.due = seat.due, set()
        for instrument in due:
            frame = await asyncio.to_thread(self._made, instrument, n)
            if frame is not None:
                number = self.recording.adapter.sequence_in(frame)
                if number is not None:
                    seat.number = 0 if seat.number is None else seat.number + 1
                    frame = renumbered(frame, number, seat.number)
                await self._give(seat, frame)

    async def _subscribed(self, instrument: InstrumentId) -> None:
        """Wait for somebody; whom nobody wants for ``patience_s`` is alone from then on."""
        began = time.monotonic()
        while not self._of[instrument] and instrument not in self._alone:
            left = self._changed_at + self._patience_s - time.monotonic()
            if left <= 0 or not await self._wait(left):
                self._alone.add(instrument)
        self._held_s += time.monotonic() - began

    def _listeners(self, instruments: Iterable[InstrumentId]) -> list[Seat]:
        found = [seat for instrument in instruments for seat in self._of[instrument]]
        return found if len(found) < 2 else list(dict.fromkeys(found))

    async def _send(self, item: Item, seats: list[Seat], times: int) -> None:
        number = self.recording.adapter.sequence_in(item.data)
        step = 1
        if number is not None:
            step = number - self._numbers.get(item.connection, number - 1)
            self._numbers[item.connection] = number
        if not seats:
            self.unheard += 1
        for seat in seats:
            frame = item.data
            if number is not None:
                seat.number = number if seat.number is None else seat.number + step
                frame = renumbered(frame, number, seat.number)
            for _ in range(times):
                await self._give(seat, frame)
        self.sent += bool(seats) * times

    async def _give(self, seat: Seat, frame: bytes) -> None:
        try:
            await seat.socket.send_frame(frame, WSMsgType.TEXT)
        except ConnectionError:
            self._leave(seat)

    # --- books of REST ------------------------------------------------------------------------------------------------

    async def _answer(self, n: int) -> None:
        """A recorded book: for who waits for one. Who has not asked yet does so now, if somebody is there."""
        instrument, body = self.recording.depth[n]
        self._last_depth[instrument] = n
        await self._subscribed(instrument)
        if instrument in self._given or not self._of[instrument]:
            return
        self._passed[instrument] = body
        self._wake()
        began = time.monotonic()
        while instrument in self._passed and not self._waiting - {instrument}:
            left = began + self._patience_s - time.monotonic()
            if left <= 0 or not await self._wait(left):
                break
        await asyncio.sleep(ARRIVES_S)
        self._held_s += time.monotonic() - began

    async def _collected(self) -> None:
        """Until every book that came by was asked for."""
        began = time.monotonic()
        while self._passed and (left := began + self._patience_s - time.monotonic()) > 0:
            await self._wait(left)

    async def _book(self, instrument: InstrumentId) -> bytes | None:
        """The recorded one that came by since the subscription; else, where one is still to come, that; else one made of the
        book as it stands.
        """
        if instrument not in self._passed and instrument not in self._last_depth:
            await self._come_by(instrument)
        body = self._passed.pop(instrument, None)
        if body is None:
            body = await asyncio.to_thread(self._made, instrument, self.place)
        if body is not None:
            self._given.add(instrument)
        self._wake()
        return body

    async def _come_by(self, instrument: InstrumentId) -> None:
        self._waiting.add(instrument)
        self._wake()
        deadline = time.monotonic() + ANSWER_S
        try:
            while instrument not in self._passed and (left := deadline - time.monotonic()) > 0:
                await self._wait(left)
        finally:
            self._waiting.discard(instrument)

    def _made(self, instrument: InstrumentId, place: int) -> bytes | None:
        """The book as of everything before ``place``, in the venue's words."""
        with self._one_at_a_time:
            state = self._kept.at(place, instrument)
            if state is None or state.book.book is None:
                return None
            symbol = self.recording.spoken.get(instrument, self.recording.symbols[instrument])
            sample = self.recording.samples.get(instrument, b"")
            telling = Telling(symbol, state.book.book, state.book.ts_event, state.memory, sample)
            return told(self.recording.venue, telling)


def renumbered(frame: bytes, number: int, wanted: int) -> bytes:
    """A connection's own count is that of the connection which delivers."""
    if number == wanted:
        return frame
    return re.sub(rb'("[a-z_]*seq[a-z_]*":\s*)%d\b' % number, rb"\g<1>%d" % wanted, frame, count=1)
