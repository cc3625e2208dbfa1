"""Binance's USD-M futures: linear perpetuals and dated contracts."""
