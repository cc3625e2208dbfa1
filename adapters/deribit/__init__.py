"""Deribit: options, futures, perpetuals and spot over JSON-RPC."""
