"""The fast path: one strategy, its market and decision callbacks in one process, fed and obeyed over gRPC."""
