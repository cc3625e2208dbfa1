"""BitMEX: perpetuals, futures and spot."""
