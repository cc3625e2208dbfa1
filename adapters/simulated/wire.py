"""How the venue writes its answers, from what the core knows; `frames` has what is sent without being asked.

https://developers.binance.com/docs/binance-spot-api-docs; names and types are checked against recorded answers.
"""

from __future__ import annotations

from typing import Any

from adapters.simulated.book import Levels
from adapters.simulated.contracts import written
from adapters.simulated.core import Core
from adapters.simulated.instruments import Instrument
from adapters.simulated.model import (
    ExecutionType,
    Order,
    OrderReport,
    OrderType,
    Printed,
    SelfTradePrevention,
)
from adapters.simulated.units import notional, text

ZERO = text(0)
Json = dict[str, Any]


def ms(ns: int) -> int:
    return ns // 1_000_000


def levels(pairs: Levels) -> list[list[str]]:
    return [[text(price), text(qty)] for price, qty in pairs]


# Public answers


def exchange_info(now_ns: int, instruments: list[Instrument], limits: list[Json], mode: SelfTradePrevention) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": ms(now_ns),
        "rateLimits": limits,
        "exchangeFilters": [],
        "symbols": [symbol_info(instrument, mode) for instrument in instruments],
    }


def symbol_info(one: Instrument, mode: SelfTradePrevention) -> Json:
    return {
        "symbol": one.symbol,
        "status": "TRADING",
        "baseAsset": one.base,
        "baseAssetPrecision": 8,
        "quoteAsset": one.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        **({"contract": written(one)} if one.is_contract else {}),
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [str(kind) for kind in OrderType],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(one),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": str(mode),
        "allowedSelfTradePreventionModes": [str(kind) for kind in SelfTradePrevention],
    }


def _filters(one: Instrument) -> list[Json]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": text(one.min_price),
            "maxPrice": text(one.max_price),
            "tickSize": text(one.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": text(one.step),
            "maxQty": text(one.max_qty),
            "stepSize": text(one.step),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(one.min_notional),
            "applyMinToMarket": True,
            "maxNotional": text(one.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": one.max_num_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": one.max_num_algo_orders},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": one.max_num_order_amends},
    ]


def depth(update_id: int, bids: Levels, asks: Levels) -> Json:
    return {"lastUpdateId": update_id, "bids": levels(bids), "asks": levels(asks)}


def public_trade(printed: Printed) -> Json:
    return {
        "id": printed.trade_id,
        "price": text(printed.price),
        "qty": text(printed.qty),
        "quoteQty": text(notional(printed.price, printed.qty)),
        "time": ms(printed.ts_ns),
        "isBuyerMaker": printed.buyer_is_maker,
        "isBestMatch": True,
    }


# Private answers


def account(core: Core, name: str, updated_ns: int) -> Json:
    fees = core.fees()
    return {
        "makerCommission": fees.maker // 10_000,
        "takerCommission": fees.taker // 10_000,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": text(fees.maker), "taker": text(fees.taker), "buyer": ZERO, "seller": ZERO},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": ms(updated_ns),
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
            for asset, balance in sorted(core.balances(name).items())
        ],
        "permissions": ["SPOT"],
        "uid": 1,
    }


def order(one: Order) -> Json:
    """As `GET order`, `openOrders` and `allOrders` have it."""
    return {
        "symbol": one.symbol,
        "orderId": one.order_id,
        "orderListId": -1,
        "clientOrderId": one.client_order_id,
        "price": text(one.price),
        "origQty": text(one.orig_qty),
        "executedQty": text(one.executed),
        "origQuoteOrderQty": text(one.quote_qty),
        "cummulativeQuoteQty": text(one.cum_quote),
        "status": str(one.status),
        "timeInForce": str(one.time_in_force),
        "type": str(one.type),
        "side": str(one.side),
        "stopPrice": text(one.stop_price),
        "icebergQty": ZERO,
        "time": ms(one.created_ns),
        "updateTime": ms(one.updated_ns),
        "isWorking": one.working,
        "workingTime": working_time(one),
        "selfTradePreventionMode": str(one.self_trade_prevention),
    }


def placed(reports: list[OrderReport], shape: str) -> Json:
    """The answer to a new order: ACK, RESULT or FULL, from all its own reports."""
    one = reports[-1].order
    answer: Json = {
        "symbol": one.symbol,
        "orderId": one.order_id,
        "orderListId": -1,
        "clientOrderId": one.client_order_id,
        "transactTime": ms(reports[0].ts_ns),
    }
    if shape == "ACK":
        return answer
    answer |= _outcome(one)
    answer["workingTime"] = working_time(one)
    if shape == "FULL":
        answer["fills"] = [
            {
                "price": text(report.last_px),
                "qty": text(report.last_qty),
                "commission": text(report.fee),
                "commissionAsset": report.fee_asset,
                "tradeId": report.trade_id,
            }
            for report in reports
            if report.execution is ExecutionType.TRADE
        ]
    answer["selfTradePreventionMode"] = str(one.self_trade_prevention)
    return answer


def canceled(report: OrderReport) -> Json:
    one = report.order
    return {
        "symbol": one.symbol,
        "origClientOrderId": one.client_order_id,
        "orderId": one.order_id,
        "orderListId": -1,
        "clientOrderId": report.cancel_id,
        "transactTime": ms(report.ts_ns),
        **_outcome(one),
        "selfTradePreventionMode": str(one.self_trade_prevention),
    }


def amended(report: OrderReport) -> Json:
    """The answer to an amendment that kept its place."""
    one = report.order
    return {
        "transactTime": ms(report.ts_ns),
        "executionId": report.execution_id,
        "amendedOrder": {
            "symbol": one.symbol,
            "orderId": one.order_id,
            "orderListId": -1,
            "origClientOrderId": report.replaced_id,
            "clientOrderId": one.client_order_id,
            "price": text(one.price),
            "qty": text(one.orig_qty),
            "executedQty": text(one.executed),
            "preventedQty": text(one.prevented),
            "quoteOrderQty": text(one.quote_qty),
            "cumulativeQuoteQty": text(one.cum_quote),
            "status": str(one.status),
            "timeInForce": str(one.time_in_force),
            "type": str(one.type),
            "side": str(one.side),
            **_stop(one),
            "workingTime": working_time(one),
            "selfTradePreventionMode": str(one.self_trade_prevention),
        },
    }


def working_time(one: Order) -> int:
    return ms(one.working_ns) if one.working else -1


def _stop(one: Order) -> Json:
    return {"stopPrice": text(one.stop_price)} if one.type.waits else {}


def _outcome(one: Order) -> Json:
    return {
        "price": text(one.price),
        "origQty": text(one.orig_qty),
        "executedQty": text(one.executed),
        "origQuoteOrderQty": text(one.quote_qty),
        "cummulativeQuoteQty": text(one.cum_quote),
        "status": str(one.status),
        "timeInForce": str(one.time_in_force),
        "type": str(one.type),
        "side": str(one.side),
        **_stop(one),
    }


def my_trade(report: OrderReport) -> Json:
    one = report.order
    return {
        "symbol": one.symbol,
        "id": report.trade_id,
        "orderId": one.order_id,
        "orderListId": -1,
        "price": text(report.last_px),
        "qty": text(report.last_qty),
        "quoteQty": text(report.last_quote),
        "commission": text(report.fee),
        "commissionAsset": report.fee_asset,
        "time": ms(report.ts_ns),
        "isBuyer": one.side == "BUY",
        "isMaker": report.is_maker,
        "isBestMatch": True,
    }
