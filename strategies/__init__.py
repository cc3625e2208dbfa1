"""Pure decisions and the API for them; imports topics alone."""

from strategies.api import BPS, Decision, Decisions, Signals, Strategy, StrategyError
from strategies.book import Book
from strategies.desk import Desk
from strategies.loading import load_strategy
from strategies.pacing import Pace
from topics.strategy import Signal

__all__ = [
    "BPS",
    "Book",
    "Decision",
    "Decisions",
    "Desk",
    "Pace",
    "Signal",
    "Signals",
    "Strategy",
    "StrategyError",
    "load_strategy",
]
