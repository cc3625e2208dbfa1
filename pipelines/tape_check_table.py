"""What ``tape check`` found, for a person: a line an instrument."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from pipelines.tape_check import Checked
from topics.record import Level

ROOMY = 130
"""Columns of a terminal: sizes of the best prices have room there."""
COUNTED = {
    "trades": "trades",
    "quotes": "quotes",
    "updates": "book_updates",
    "gaps": "gaps",
    "resyncs": "resyncs",
    "checksums": "checksums_verified",
    "failed": "checksums_failed",
}


def checked_table(found: Sequence[Checked], width: int) -> Table:
    """A column that says 0 of all is left out, but for gaps."""
    columns = {"instrument": [one.instrument for one in found], "frames": [f"{one.frames:,}" for one in found]}
    for title, name in COUNTED.items():
        if any(counts := [getattr(one, name) for one in found]) or name == "gaps":
            columns[title] = [f"{count:,}" for count in counts]
    columns["book"] = [_book(one) for one in found]
    columns["best bid"] = [_level(one.best_bid, width) for one in found]
    columns["best ask"] = [_level(one.best_ask, width) for one in found]
    table = Table(box=None, header_style="bold", collapse_padding=True, pad_edge=False)
    for title in columns:
        table.add_column(title, justify="left" if title == "instrument" else "right", overflow="fold")
    for one, row in zip(found, zip(*columns.values(), strict=True), strict=True):
        table.add_row(*map(escape, row), style="" if one.sound else "red")
    return table


def _level(level: Level | None, width: int) -> str:
    if level is None:
        return "-"
    price, size = level
    return f"{size} x {price}" if width >= ROOMY else price


def _book(one: Checked) -> str:
    return f"{one.book_state} {one.bids:,}/{one.asks:,}" if one.book_state == "live" else one.book_state
