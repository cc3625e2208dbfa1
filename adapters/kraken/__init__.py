"""Kraken's spot market: its public websocket v2, recordings of v1, and REST definitions."""
