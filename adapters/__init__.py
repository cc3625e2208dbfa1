"""Venues: one module or package each; the only place that imports ccxt."""
