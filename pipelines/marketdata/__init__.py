"""Market data over gRPC: one consumer of `market.events`, many subscribers."""
