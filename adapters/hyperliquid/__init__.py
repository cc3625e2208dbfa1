"""Hyperliquid: perpetuals, and those spot pairs that it names."""
