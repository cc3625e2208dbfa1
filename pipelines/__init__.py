"""One file per stage, the edges, the backtest, the supervisor and the command line."""
