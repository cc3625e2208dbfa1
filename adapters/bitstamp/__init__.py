"""Bitstamp: spot pairs and perpetuals."""
