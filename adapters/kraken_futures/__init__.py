"""Kraken Futures (Kraken Derivatives): perpetuals and dated futures, linear and inverse."""
