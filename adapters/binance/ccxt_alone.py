"""ccxt's Binance without its neighbours (``adapters.ccxt_alone``), and the errors that are told apart."""

from typing import Any

from adapters.ccxt_alone import exchange

binance, _errors = exchange("binance")
BaseError: Any = _errors.BaseError
AuthenticationError: Any = _errors.AuthenticationError
BadRequest: Any = _errors.BadRequest
DDoSProtection: Any = _errors.DDoSProtection
RateLimitExceeded: Any = _errors.RateLimitExceeded
