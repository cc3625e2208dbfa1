"""OKX, API v5: spot, perpetuals, dated futures, options."""
