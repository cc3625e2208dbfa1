"""Small tables of each format that is imported."""

import gzip
import zipfile
from pathlib import Path

US = 1_700_000_000_000_000
HEAD = "exchange,symbol,timestamp,local_timestamp,"
BOOK = [
    (0, "false", "bid", "1", "1"),
    (1, "true", "bid", "100.10", "1.50"),
    (1, "true", "bid", "100.20", "0.5"),
    (2, "true", "ask", "100.3", "7"),
    (2, "true", "ask", "100.4", "0"),
    (3, "false", "bid", "100.20", "0"),
    (3, "false", "ask", "100.25", "0.00000001"),
    (4, "false", "bid", "100.15", "2"),
]


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def zipped(path: Path, name: str, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(name, text)
    return path


def lean_files(folder: Path) -> list[Path]:
    quotes = "34200000,1836300,100,0,0,Q,1,0\n34200000,0,0,1836400,300,N,1,0\n34200005,1836500,9,0,0,P,1,0\n34200006,0,0,1836600,50,P,1,1\n"
    trades = "34200001,1836400,283,P,1,0\n34200003,1836300,5,N,1,0\n34200004,1836350,5,N,1,0\n34200005,1,5,N,1,1\n"
    return [
        zipped(folder / "20131007_quote.zip", "20131007_ibm_Quote_Tick.csv", quotes),
        zipped(folder / "20131007_trade.zip", "20131007_ibm_Trade_Tick.csv", trades),
    ]


def tardis_files(folder: Path) -> list[Path]:
    name = f"binance,BTCUSDT,{US},{US + 5}"
    books = "".join(f"binance,BTCUSDT,{US + n},{US + n + 5},{','.join(rest)}\n" for n, *rest in BOOK)
    return [
        write(
            folder / "trades.csv.gz",
            f"{HEAD}id,side,price,amount\n{name},7,sell,100.20,0.001\n{name},,unknown,100.3,1\n",
        ),
        write(
            folder / "quotes.csv",
            f"{HEAD}ask_amount,ask_price,bid_price,bid_amount\n{name},7,100.3,100.20,0.5\n{name},,,1,1\n",
        ),
        write(folder / "incremental_book_L2.csv.gz", f"{HEAD}is_snapshot,side,price,amount\n{books}"),
    ]
