"""Gate.io: spot, perpetuals and futures."""
