"""Requests as the venue reads them: parameters, signatures, times, budgets; `ApiError` is its refusal.

https://developers.binance.com/docs/binance-spot-api-docs/errors
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.simulated.model import Refused
from adapters.simulated.units import units

NUMBER = re.compile(r"^([0-9]{1,20})(\.[0-9]{1,20})?$")
CLIENT_ID = re.compile(r"^[a-zA-Z0-9-_]{1,36}$")
INTEGER = re.compile(r"^[0-9]{1,20}$")
DEFAULT_RECV_WINDOW, MAX_RECV_WINDOW = 5_000, 60_000
AHEAD_MS = 1_000
STATUS = {-2014: 401, -2015: 401, -1003: 429, -1015: 429, -2021: 409}


class ApiError(Exception):
    """An answer that is an error; `status` is the HTTP status."""

    def __init__(
        self, code: int, message: str, headers: Mapping[str, str] | None = None, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = STATUS.get(code, 400)
        self.headers = dict(headers or {})
        self.data = data

    def body(self) -> dict[str, Any]:
        """As the venue writes it; a failed cancelReplace says in `data` what became of its halves."""
        more = {} if self.data is None else {"data": self.data}
        return {"code": self.code, "msg": self.message, **more}

    @classmethod
    def of(cls, refused: Refused) -> ApiError:
        return cls(refused.code, refused.message)


def missing(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def unneeded(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


class Params:
    """Named text values of one request."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def joined(self, *, without: str) -> str:
        """`name=value` in the order of names: what a WebSocket API request signs."""
        return "&".join(f"{name}={self._values[name]}" for name in sorted(self._values) if name != without)

    def required(self, name: str) -> str:
        value = self._values.get(name)
        if value is None or value == "":
            raise missing(name)
        return value

    def client_id(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None:
            _legal(name, value, CLIENT_ID)
        return value

    def integer(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        _legal(name, value, INTEGER)
        return int(value)

    def amount(self, name: str) -> int | None:
        """In 1e-8."""
        value = self._values.get(name)
        if value is None:
            return None
        _legal(name, value, NUMBER)
        try:
            return units(value)
        except ValueError as error:
            raise ApiError(-1111, f"Parameter '{name}' has too much precision.") from error


def _legal(name: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern.pattern}'.")


class Key(msgspec.Struct, frozen=True):
    """One API key; its secret never shows in a repr."""

    account: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key(account={self.account!r})"


def authenticate(
    keys: Mapping[str, Key], api_key: str | None, params: Params, signed: bytes, signature: str | None, now_ms: int
) -> str:
    """The account that signed `signed` (the request as sent, less its signature) within its receive window."""
    if api_key is None or api_key == "":
        raise ApiError(-2014, "API-key format invalid.")
    key = keys.get(api_key)
    if key is None:
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.")
    if signature is None:
        raise missing("signature")
    check_time(params, now_ms)
    expected = hmac.new(key.secret, signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
        raise ApiError(-1022, "Signature for this request is not valid.")
    return key.account


def check_time(params: Params, now_ms: int) -> None:
    params.required("timestamp")
    timestamp = params.integer("timestamp") or 0
    window = params.integer("recvWindow")
    if window is not None and window > MAX_RECV_WINDOW:
        raise ApiError(-1131, f"recvWindow must be less than {MAX_RECV_WINDOW}.")
    if timestamp >= now_ms + AHEAD_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > (DEFAULT_RECV_WINDOW if window is None else window):
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


class Budget:
    """Requests' weight a minute and orders in ten seconds; 0 means no limit."""

    def __init__(self, weight_limit: int, order_limit: int) -> None:
        self.weight_limit = weight_limit
        self.order_limit = order_limit
        self.weight = 0
        self._orders: dict[str, int] = {}
        self._minute = self._ten_seconds = -1

    def spend(self, now_ms: int, weight: int) -> None:
        self._roll(now_ms)
        self.weight += weight
        if self.weight_limit and self.weight > self.weight_limit:
            wait = 60 - now_ms // 1000 % 60
            raise ApiError(
                -1003,
                f"Too much request weight used; current limit is {self.weight_limit} request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API.",
                {"Retry-After": str(wait)},
            )

    def count_order(self, now_ms: int, account: str) -> None:
        self._roll(now_ms)
        placed = self._orders.get(account, 0)
        if self.order_limit and placed >= self.order_limit:
            wait = 10 - now_ms // 1000 % 10
            message = f"Too many new orders; current limit is {self.order_limit} orders per 10 SECOND."
            raise ApiError(-1015, message, {"Retry-After": str(wait)})
        self._orders[account] = placed + 1

    def orders(self, account: str) -> int:
        return self._orders.get(account, 0)

    def _roll(self, now_ms: int) -> None:
        if now_ms // 60_000 != self._minute:
            self._minute, self.weight = now_ms // 60_000, 0
        if now_ms // 10_000 != self._ten_seconds:
            self._ten_seconds = now_ms // 10_000
            self._orders.clear()
