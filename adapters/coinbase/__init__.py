"""Coinbase's Advanced Trade: spot, and its perpetuals with international settlement."""
