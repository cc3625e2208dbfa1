"""Market data that others have parsed already, as our records with the digits of the file: trades, quotes, books.

``source.py`` tells the format of a file, ``binance_trades``, ``lean`` and ``tardis`` read one each, ``naming`` says
which instrument a symbol is, ``definitions`` what its steps must be, ``to_archive`` writes what a backtest reads.
"""
