"""ccxt's Binance, kept to spot, to exact numbers and to one attempt; each call's raw answer is kept beside what ccxt
made of it.

What was tried of it stands in the design notes on the exchange: it signs, sends and parses; it does not decide what
an answer proves.
"""

import re
import socket
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import aiohttp

from adapters.base import VenueRefused, VenueUnreachable
from adapters.binance import ccxt_alone as ccxt
from adapters.binance.refusals import CLOCK, KEYS, Answer, outcome
from adapters.execution import NotSent, Outcome, QueryFailed, Recorder, Unknown

_answer: ContextVar[Answer] = ContextVar("answer")
_SECRETS = re.compile(r"(signature|apiKey|listenKey|X-MBX-APIKEY)([=\"':\s]+)[^&\"'\s,}]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Without signatures and keys."""
    return _SECRETS.sub(r"\1\2***", text)


class RawBinance(ccxt.binance):  # type: ignore[misc]
    """Notes that a request leaves and what came back, per task, before ccxt interprets it."""

    recorder: Recorder

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        answer = _answer.get(None)
        if answer is not None:
            answer.sent = True
        return await super().fetch(url, method, headers, body)

    def on_rest_response(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        response_headers: Any,
        response_body: str,
        request_headers: Any,
        request_body: Any,
    ) -> str:
        answer = _answer.get(None)
        if answer is not None:
            answer.status, answer.body = code, response_body.strip()
        if "apiKey" in url or "signature" in url or request_body:
            self._record(code, url, method, response_body, request_body or "")
        return response_body.strip()

    def _record(self, code: int, url: str, method: str, body: str, request_body: str) -> None:
        path, _, query = url.partition("?")
        asked = redacted(query or request_body)
        head = f'{{"request":"{method} {path.rpartition("/v3/")[2]}","params":"{asked}","status":{code},"answer":'
        self.recorder(time.time_ns(), head + (redacted(_one_line(body)) or '""') + "}")


def _one_line(body: str) -> str:
    text = body.strip().replace("\n", " ").replace("\r", " ")
    return text if text.startswith(("{", "[")) else '"' + text.replace("\\", "\\\\").replace('"', '\\"')[:2000] + '"'


def client(
    api_key: str,
    secret: str,
    *,
    rest_url: str,
    sandbox: bool,
    recv_window_ms: int,
    recorder: Recorder,
    timeout_ms: int = 5000,
) -> RawBinance:
    """A client that holds no connection yet. ``rest_url`` ("http://H/api/v3") replaces the venue's own address."""
    made = RawBinance(
        {
            "apiKey": api_key,
            "secret": secret,
            "number": str,
            "enableRateLimit": False,
            "timeout": timeout_ms,
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
                "recvWindow": recv_window_ms,
                "maxRetriesOnFailure": 0,
                "adjustForTimeDifference": False,
                "warnOnFetchOpenOrdersWithoutSymbol": False,
            },
        }
    )
    made.recorder = recorder
    made.enableLastJsonResponse = made.enableLastHttpResponse = made.enableLastResponseHeaders = False
    made.exceptions["exact"].update(made.exceptions["spot"]["exact"])  # it forgets them when the address is another
    made.has["fetchCurrencies"] = False
    if sandbox:
        made.set_sandbox_mode(True)
    if rest_url:
        made.urls["api"]["public"] = made.urls["api"]["private"] = rest_url
        made.urls["api"]["sapi"] = rest_url.replace("/api/v3", "/sapi/v1")
    return made


async def command(send: Callable[[], Awaitable[Any]], proves: Callable[[Answer], Outcome] = outcome) -> Outcome:
    """Carry out one command and say what its end proves."""
    answer = Answer()
    token = _answer.set(answer)
    try:
        await send()
    except ccxt.BaseError as error:
        if not answer.sent:
            return NotSent(f"{type(error).__name__}: {_first_line(error)}")
        if answer.status is None:
            return _unanswered(error)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError) as error:  # ccxt stumbled
        if not answer.sent:
            return NotSent(f"{type(error).__name__}: {_first_line(error)}")
    finally:
        _answer.reset(token)
    return proves(answer)


def _unanswered(error: BaseException) -> Outcome:
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorError | socket.gaierror):
        return NotSent(f"no connection: {cause}")
    return Unknown(f"{type(error).__name__}: {_first_line(cause or error)}")


async def question(ask: Callable[[], Awaitable[Any]]) -> tuple[Any, Answer]:
    """Ask, and return ccxt's raw answer; the caller looks at ``answer.error``. VenueUnreachable, VenueRefused,
    QueryFailed.
    """
    answer = Answer()
    token = _answer.set(answer)
    try:
        found = await ask()
    except ccxt.BaseError as error:
        if answer.error is None or answer.status is None or answer.status >= 500:
            raise _failure(error, answer) from error
        return None, answer
    finally:
        _answer.reset(token)
    if answer.status is not None and (answer.json() is None or not isinstance(found, dict | list)):
        raise QueryFailed(f"the venue's answer is no JSON (HTTP {answer.status})")
    return found, answer


def _failure(error: BaseException, answer: Answer) -> Exception:
    if answer.status is None and isinstance(_unanswered(error), NotSent):
        return VenueUnreachable(_first_line(error.__cause__ or error))
    return QueryFailed(f"{type(error).__name__}: {_first_line(error)}")


def raise_refusal(answer: Answer) -> None:
    """Turn an error answer to a question into the exception that says whose fault it is."""
    if answer.error is None:
        return
    code, message = answer.error
    if code in KEYS:
        raise VenueRefused(f"the venue refuses the API key: {code} {message}")
    if code in CLOCK:
        raise VenueRefused(f"the venue refuses our clock: {code} {message} (set this machine's clock by NTP)")
    raise QueryFailed(f"{code} {message}")


def _first_line(error: BaseException) -> str:
    return redacted(str(error).partition("\n")[0][:300]) or type(error).__name__
