"""A simulated spot exchange: a pure matching core and a server around it that speaks Binance's REST and WebSocket API.

The package imports nothing of the platform, so that it can judge it. `core` (with `book`, `recorded`, `wallets`) is
also the venue of the in-process backtest; everything with a socket, a clock or a file lives in `server`, `players`,
`ledger` and `__main__`.
"""
