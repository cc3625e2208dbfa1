"""Binance's COIN-M futures: inverse perpetuals and dated contracts."""
