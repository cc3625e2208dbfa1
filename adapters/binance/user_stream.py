"""The user data stream over the WebSocket API, on a connection of our own: raw frames, recorded before they mean
anything.

https://developers.binance.com/docs/binance-spot-api-docs/websocket-api/user-data-stream-requests#subscribe-to-user-data-stream-through-signature
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from adapters.base import VenueRefused
from adapters.binance.private import Symbols, stream_events
from adapters.binance.refusals import CLOCK, KEYS
from adapters.binance.rest import redacted
from adapters.execution import Recorder, StreamLost, StreamUp, Unreadable, VenueEvent

SUBSCRIBE = "userDataStream.subscribe.signature"
ANSWER_S = 5.0
FRAME_MOST = 16 * 1024 * 1024


def subscription(api_key: str, secret: str, now_ms: int, recv_window_ms: int) -> bytes:
    """The signed request; the signature is over the parameters in the order of their names."""
    params: dict[str, str | int] = {"apiKey": api_key, "recvWindow": recv_window_ms, "timestamp": now_ms}
    query = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    return msgspec.json.encode({"id": "user-data", "method": SUBSCRIBE, "params": params})


async def stream(
    url: str, api_key: str, secret: str, recv_window_ms: int, symbols: Symbols, recorder: Recorder
) -> AsyncIterator[VenueEvent]:
    """StreamUp once subscribed, then the account's events until StreamLost. VenueRefused when keys or clock are
    refused.
    """
    try:
        async with connect(
            url, open_timeout=ANSWER_S, close_timeout=1, ping_interval=15, ping_timeout=15, max_size=FRAME_MOST
        ) as socket:
            await _subscribe(
                socket, subscription(api_key, secret, time.time_ns() // 1_000_000, recv_window_ms), recorder
            )
            yield StreamUp()
            async for frame in socket:
                text = frame if isinstance(frame, str) else frame.decode(errors="replace")
                recorder(time.time_ns(), redacted(text.replace("\n", " ")))
                for event in events(text, symbols):
                    yield event
    except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError) as error:
        raise StreamLost(f"user data stream: {str(error) or type(error).__name__}") from error
    except InvalidURI as error:
        raise VenueRefused(f"not a WebSocket address: {url}") from error
    raise StreamLost("user data stream: closed by the venue")


async def _subscribe(socket: ClientConnection, request: bytes, recorder: Recorder) -> None:
    await socket.send(request.decode())
    async with asyncio.timeout(ANSWER_S):
        text = await socket.recv(decode=True)
    recorder(time.time_ns(), redacted(text))
    try:
        answer = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StreamLost("user data stream: the subscription's answer is no JSON") from error
    if isinstance(answer.get("result"), dict) and "subscriptionId" in answer["result"]:
        return
    refusal = answer.get("error") or {}
    code, message = refusal.get("code"), refusal.get("msg", "no reason given")
    if code in KEYS | CLOCK:
        raise VenueRefused(f"the venue refuses the user data stream: {code} {message}")
    raise StreamLost(f"user data stream: subscription answered {code} {message}")


def events(text: str, symbols: Symbols) -> list[VenueEvent]:
    """What one frame says: ``{"subscriptionId": 0, "event": {...}}``. A frame that cannot be read is one Unreadable."""
    try:
        frame = msgspec.json.decode(text)
        event = frame["event"]
        if event["e"] == "eventStreamTerminated":
            raise StreamLost("user data stream: terminated by the venue")
        return list(stream_events(event, symbols))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        return [Unreadable(text, f"{type(error).__name__}: {error}")]
