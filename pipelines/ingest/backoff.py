"""Waiting longer after each failure, never in step with others."""

import random


def backoff_s(failures: int, *, first: float = 0.5, most: float = 30.0) -> float:
    """Between half and the whole of first, 2 first, 4 first, …"""
    return min(most, first * 2.0 ** min(failures, 20)) * random.uniform(0.5, 1.0)
