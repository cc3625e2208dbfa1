"""Any venue that ccxt.pro has and we have no parser for: ``adapter = "ccxt:<its id>"``. A sampled view of its market."""
