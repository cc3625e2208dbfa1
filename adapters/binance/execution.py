"""Trading on Binance spot: commands and queries through ccxt, executions from our own connection to the user data
stream.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from adapters.base import VenueUnreachable
from adapters.binance import private
from adapters.binance.private import Symbols
from adapters.binance.refusals import NO_SUCH_ORDER, tested
from adapters.binance.rest import RawBinance, client, command, question, raise_refusal
from adapters.binance.user_stream import stream
from adapters.execution import (
    Balance,
    Execution,
    KeyPermissions,
    Listed,
    NewOrder,
    NotSent,
    OrderRef,
    OrderReport,
    Outcome,
    QueryFailed,
    Recorder,
    VenueEvent,
)
from topics.record import InstrumentId, OrderType, Payoff, Venue, VenueOrderId

log = logging.getLogger(__name__)

WS_API = "wss://ws-api.binance.com:443/ws-api/v3"
WS_API_SANDBOX = "wss://ws-api.testnet.binance.vision/ws-api/v3"
CONNECT_S = 8.0
PAGE = 1000


def _forget(at_ns: int, text: str) -> None:
    """Where nobody wants the raw answers."""


class BinanceExecution:
    """One account. ``venue`` is the configured instance's name, the first part of every instrument's id."""

    capabilities = private.SPOT

    def __init__(
        self,
        venue: Venue,
        api_key: str,
        secret: str,
        *,
        rest_url: str = "",
        ws_api_url: str = "",
        sandbox: bool = False,
        recv_window_ms: int = 5000,
        recorder: Recorder = _forget,
        timeout_ms: int = 5000,
    ) -> None:
        self.recv_window_ms = recv_window_ms
        self._venue, self._api_key, self._secret, self._recorder = venue, api_key, secret, recorder
        self._ws_api_url = ws_api_url or (WS_API_SANDBOX if sandbox else WS_API)
        self._ccxt: RawBinance = client(
            api_key,
            secret,
            rest_url=rest_url,
            sandbox=sandbox,
            recv_window_ms=recv_window_ms,
            recorder=recorder,
            timeout_ms=timeout_ms,
        )
        self._symbols = Symbols({})
        self._not_listed: set[str] = set()

    @property
    def listed(self) -> Mapping[InstrumentId, Listed]:
        return self._symbols.listed

    async def connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._list_symbols(again=False)
                await self.balances()  # the cheapest signed question: tells about keys and clock
        except TimeoutError:
            raise VenueUnreachable(f"no answer within {CONNECT_S:g} s") from None

    async def key_permissions(self) -> KeyPermissions | None:
        """None where the venue does not say: its test network has no such endpoint.

        https://developers.binance.com/docs/wallet/account/api-key-permission
        """
        if not self._ccxt.urls["api"].get("sapi"):
            return None
        found, answer = await question(self._ccxt.sapiGetAccountApiRestrictions)
        raise_refusal(answer)
        if not isinstance(found, dict) or "enableWithdrawals" not in found:
            return None
        return KeyPermissions(bool(found["enableWithdrawals"]), bool(found.get("ipRestrict")))

    async def _list_symbols(self, again: bool) -> None:
        _, answer = await question(lambda: self._ccxt.load_markets(again))
        raise_refusal(answer)
        self._symbols.relist({one.instrument: one for one in map(self._listed, self._ccxt.markets.values())})

    def adopt(self, other: "BinanceExecution") -> None:
        """The definitions that another connection to the same venue has loaded."""
        self._symbols = other._symbols
        self._ccxt.set_markets_from_exchange(other._ccxt)

    def _listed(self, market: Mapping[str, Any]) -> Listed:
        """The simulated exchange lists contracts too, and says how they pay."""
        instrument = f"{self._venue}:{market['base']}-{market['quote']}"
        contract = market["info"].get("contract")
        if contract is None:
            return Listed(instrument, market["id"], market["base"], market["quote"])
        return Listed(
            instrument,
            market["id"],
            market["base"],
            market["quote"].partition("-")[0],
            contract["settle"],
            Decimal(contract["multiplier"]),
            Payoff(contract["payoff"]),
        )

    def _symbol(self, instrument: InstrumentId) -> str:
        return self._symbols.listed[instrument].instrument.partition(":")[2].replace("-", "/", 1)

    async def submit(self, order: NewOrder) -> Outcome:
        if order.instrument not in self.listed:
            return NotSent(f"{order.instrument} is not listed")
        if order.order_type.is_stop:
            return await command(lambda: self._ccxt.private_post_order(self._raw(order)))
        params: dict[str, Any] = {"newClientOrderId": order.venue_client_id, "timestamp": _ms(order.requested_ns)}
        if order.post_only:
            params["postOnly"] = True
        elif order.order_type is OrderType.LIMIT:
            params["timeInForce"] = order.time_in_force.upper()
        price = None if order.price is None else f"{order.price:f}"
        symbol, amount = self._symbol(order.instrument), f"{order.order_qty:f}"
        return await command(
            lambda: self._ccxt.create_order(symbol, order.order_type.value, order.side.value, amount, price, params)
        )

    def _raw(self, order: NewOrder) -> dict[str, Any]:
        """The order in the venue's own words: what ccxt's unified types do not say (a stop without a limit; a test)."""
        priced = order.order_type.is_priced and not order.post_only
        words = {
            "symbol": self._symbols.listed[order.instrument].venue_symbol,
            "side": order.side.upper(),
            "type": "LIMIT_MAKER" if order.post_only else private.TYPE_SENT[order.order_type],
            "quantity": f"{order.order_qty:f}",
            "price": None if order.price is None else f"{order.price:f}",
            "stopPrice": None if order.trigger_price is None else f"{order.trigger_price:f}",
            "timeInForce": order.time_in_force.upper() if priced else None,
            "newClientOrderId": order.venue_client_id,
            "newOrderRespType": "ACK",
            "timestamp": _ms(order.requested_ns),
        }
        return {name: value for name, value in words.items() if value is not None}

    async def test(self, order: NewOrder) -> Outcome:
        """https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints#test-new-order-trade"""
        if order.instrument not in self.listed:
            return NotSent(f"{order.instrument} is not listed")
        return await command(lambda: self._ccxt.private_post_order_test(self._raw(order)), tested)

    async def amend(self, order: OrderRef, order_qty: Decimal, requested_ns: int) -> Outcome:
        """``PUT order/amend/keepPriority``, for which ccxt has no method. Its client id is sent again: the venue would
        make up another one.
        """
        if order.instrument not in self.listed:
            return NotSent(f"{order.instrument} is not listed")
        words = {
            "symbol": self._symbols.listed[order.instrument].venue_symbol,
            "origClientOrderId": order.venue_client_id,
            "newClientOrderId": order.venue_client_id,
            "newQty": f"{order_qty:f}",
            "timestamp": _ms(requested_ns),
        }
        return await command(lambda: self._ccxt.request("order/amend/keepPriority", ["private"], "PUT", words))

    async def cancel(self, order: OrderRef, requested_ns: int) -> Outcome:
        if order.instrument not in self.listed:
            return NotSent(f"{order.instrument} is not listed")
        params: dict[str, Any] = {"timestamp": _ms(requested_ns)} | (
            {"origClientOrderId": order.venue_client_id} if order.venue_client_id else {}
        )
        symbol = self._symbol(order.instrument)
        return await command(lambda: self._ccxt.cancel_order(order.venue_order_id, symbol, params))

    async def query(self, order: OrderRef) -> OrderReport | None:
        named = (
            {"origClientOrderId": order.venue_client_id} if order.venue_client_id else {"orderId": order.venue_order_id}
        )
        request = {"symbol": self._symbols.listed[order.instrument].venue_symbol, **named}
        found, answer = await question(lambda: self._ccxt.private_get_order(request))
        if answer.error is not None and answer.error[0] in NO_SUCH_ORDER:
            return None
        raise_refusal(answer)
        return self._orders([found])[0]

    async def open_orders(self) -> Sequence[OrderReport]:
        found, answer = await question(self._ccxt.private_get_openorders)
        raise_refusal(answer)
        if not isinstance(found, list):
            raise QueryFailed("open orders: not a list")
        await self._list_unknown({str(o.get("symbol")) for o in found if isinstance(o, dict)})
        return [report for o in found for report in self._readable(o)]

    async def _list_unknown(self, venue_symbols: set[str]) -> None:
        """Symbols listed since we looked, asked for once each."""
        unknown = {s for s in venue_symbols if s not in self._symbols} - self._not_listed
        if unknown:
            await self._list_symbols(again=True)
            self._not_listed |= {s for s in unknown if s not in self._symbols}

    def _readable(self, order: Any) -> list[OrderReport]:
        try:
            return self._orders([order])
        except QueryFailed as error:
            log.error("an open order that cannot be read is left out: %s: %s", error, order)
            return []

    async def recent_orders(self, instrument: InstrumentId, since_ns: int) -> Sequence[OrderReport]:
        request = {"symbol": self._symbols.listed[instrument].venue_symbol, "startTime": _ms(since_ns), "limit": PAGE}
        return self._orders(await self._all(self._ccxt.private_get_allorders, request, "orderId", "orderId"))

    async def executions(self, instrument: InstrumentId, since_ns: int) -> Sequence[Execution]:
        """Pages by trade id from the first one since then: a page by time would lose those of one millisecond beyond
        its end.
        """
        request: dict[str, Any] = {
            "symbol": self._symbols.listed[instrument].venue_symbol,
            "startTime": _ms(since_ns),
            "limit": PAGE,
        }
        return self._executions(await self._all(self._ccxt.private_get_mytrades, request, "fromId", "id"))

    async def order_executions(self, instrument: InstrumentId, venue_order_id: VenueOrderId) -> Sequence[Execution]:
        request = {
            "symbol": self._symbols.listed[instrument].venue_symbol,
            "orderId": venue_order_id,
            "fromId": 0,
            "limit": PAGE,
        }
        return self._executions(await self._all(self._ccxt.private_get_mytrades, request, "fromId", "id"))

    async def _all(self, ask: Callable[..., Any], request: dict[str, Any], first: str, name: str) -> list[Any]:
        """Pages by ``first``, the parameter that names the lowest id wanted, until one is not full."""
        found: list[Any] = []
        while True:
            page, answer = await question(partial(ask, dict(request)))
            raise_refusal(answer)
            if not isinstance(page, list):
                raise QueryFailed("not a list")
            found += page
            if len(page) < PAGE:
                return found
            request.pop("startTime", None)
            request[first] = _id(page[-1], name) + 1

    async def balances(self) -> Sequence[Balance]:
        found, answer = await question(lambda: self._ccxt.private_get_account({"omitZeroBalances": "true"}))
        raise_refusal(answer)
        try:
            return private.balances(found)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise QueryFailed(f"account: {type(error).__name__}: {error}") from error

    def events(self) -> AsyncIterator[VenueEvent]:
        return stream(self._ws_api_url, self._api_key, self._secret, self.recv_window_ms, self._symbols, self._recorder)

    async def close(self) -> None:
        await self._ccxt.close()

    def _orders(self, found: Any) -> list[OrderReport]:
        try:
            return [private.order_report(o, self._symbols) for o in found]
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise QueryFailed(f"orders: {type(error).__name__}: {error}") from error

    def _executions(self, found: Any) -> list[Execution]:
        try:
            return [private.execution(t, self._symbols) for t in found]
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise QueryFailed(f"executions: {type(error).__name__}: {error}") from error


def _id(element: Any, name: str) -> int:
    try:
        return int(element[name])
    except (KeyError, TypeError, ValueError) as error:
        raise QueryFailed(f"an element without {name}: {type(error).__name__}") from error


def _ms(ns: int) -> int:
    return ns // 1_000_000
