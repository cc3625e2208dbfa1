"""Bybit's v5: spot, linear and inverse."""
