"""Pure decisions and the API for them; imports topics alone."""

from strategies.api import BPS, Decision, Decisions, Signals, Strategy, StrategyError
from strategies.desk import Desk
from strategies.loading import load_strategy
from strategies.pacing import Pace
from topics.book import Book
from topics.market import Bar, Instrument, Quote, Tick, Trade
from topics.orders import OrderStatus, OrderUpdated
from topics.portfolio import PositionChanged
from topics.record import InstrumentId, OrderType, Side, TimeInForce
from topics.strategy import Signal, StrategyRecord

__all__ = [
    "BPS",
    "Bar",
    "Book",
    "Decision",
    "Decisions",
    "Desk",
    "Instrument",
    "InstrumentId",
    "OrderStatus",
    "OrderType",
    "OrderUpdated",
    "Pace",
    "PositionChanged",
    "Quote",
    "Side",
    "Signal",
    "Signals",
    "Strategy",
    "StrategyError",
    "StrategyRecord",
    "Tick",
    "TimeInForce",
    "Trade",
    "load_strategy",
]
