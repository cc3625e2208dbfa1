"""Binance spot, and the venues that speak as it does."""
