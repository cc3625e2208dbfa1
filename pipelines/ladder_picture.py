"""The picture of a ``Ladder``: asks above, bids below, sizes as bars and summed from the best level outwards, trades beside them.

Numbers are the venue's, padded with zeros to the same number of decimals and never rounded; spread in basis points is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipelines.ladder import Ladder, Standing
from pipelines.ladder_queue import Where, queue_panel
from topics.book import Book, plain
from topics.market import Trade
from topics.order_book import OrderBook
from topics.record import Side

Levels = Sequence[tuple[Decimal, Decimal]]

DEPTH = 12
WIDE = 100
TRADES_WIDTH = 48
TRADES_BELOW = 6
BESIDE = 6
"""Lines of a picture that are no level: headline, a warning, frame, titles, spread."""
COUNT = 8
"""Columns for the number of a level's orders."""
EIGHTHS = "▏▎▍▌▋▊▉█"
COLOURS = {Standing.LIVE: "bold green", Standing.STALE: "bold red", Standing.NONE: "bold yellow"}
SIDES = {Side.BUY: "green", Side.SELL: "red"}
SECOND = 1_000_000_000


def picture(
    ladder: Ladder, now_ns: int, *, depth: int = DEPTH, width: int = 120, run: str = "", queue: Where | None = None
) -> Group:
    """``depth`` levels of each side on a screen of ``width`` columns; on a narrow one the trades stand below. A ``queue`` stands
    where the trades do.
    """
    wide = width >= WIDE
    left = width - TRADES_WIDTH if wide else width
    book = Panel(_book(ladder, depth, left - 4), title="book", border_style="dim", width=left)
    rows = 2 * depth + 1 if wide else TRADES_BELOW
    beside = _beside(ladder, rows, queue)
    told = [_headline(ladder, now_ns, run), *_warning(ladder, now_ns)]
    if not wide:
        return Group(*told, book, beside)
    body = Table.grid()
    body.add_column(width=left)
    body.add_column(width=TRADES_WIDTH)
    body.add_row(book, beside)
    return Group(*told, body)


def _beside(ladder: Ladder, rows: int, queue: Where | None) -> Panel:
    if queue is not None:
        return queue_panel(ladder, queue, rows - 1)
    return Panel(_trades(list(ladder.trades)[: -rows - 1 : -1]), title="last trades, UTC", border_style="dim")


def depth_that_fits(depth: int, width: int, height: int) -> int:
    """At least one level of each side, at most what a screen of this size holds."""
    below = 0 if width >= WIDE else TRADES_BELOW + 3
    return max(1, min(depth, (height - BESIDE - below) // 2))


def _headline(ladder: Ladder, now_ns: int, run: str) -> Text:
    standing = ladder.standing(now_ns)
    age = f"newest frame {_age(ladder.age_ns(now_ns))} ago" if ladder.newest_ts else "no frame yet"
    since = f" since {_time(ladder.first_ts)[:8]}" if ladder.first_ts else ""
    gaps = Text(f"{ladder.gaps} {'gap' if ladder.gaps == 1 else 'gaps'}{since}", style="red" if ladder.gaps else "")
    parts = [
        Text.assemble((" tapedeck ", "bold reverse"), f" {ladder.instrument}"),
        Text(standing, style=COLOURS[standing]),
        Text(age),
        gaps,
        *([] if ladder.orders is None else [Text(f"{len(ladder.orders.orders):,} orders")]),
        Text(f"run {run}" if run else ""),
    ]
    return _one_line(Text("  ").join(parts))


def _warning(ladder: Ladder, now_ns: int) -> list[Text]:
    if ladder.broken:
        words = f"the book is not to be trusted until the next snapshot: {ladder.broken}"
    elif ladder.standing(now_ns) is Standing.STALE:
        words = "nothing came of late: the book may have moved"
    elif ladder.orders_lost:
        words = f"the orders are not known until the venue tells all of them: {ladder.orders_lost}"
    else:
        return []
    return [_one_line(Text(words, style="bold red"))]


def _one_line(text: Text) -> Text:
    """What counts is said first: on a narrow screen the end is missing."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _book(ladder: Ladder, depth: int, width: int) -> RenderableType:
    if ladder.book is None:
        return Text("no snapshot of the book yet", style="yellow")
    asks, bids = ladder.book.asks(depth), ladder.book.bids(depth)
    rows = _Rows([*asks, *bids], width, _counts(ladder.orders))
    dim = "dim " if ladder.broken else ""
    lines = [rows.line(level, total, dim + "red") for level, total in reversed(_summed(asks))]
    lines = [rows.titles(), *(lines or [Text("no asks", style="red")]), _spread(ladder.book)]
    lines += [rows.line(level, total, dim + "green") for level, total in _summed(bids)] or [
        Text("no bids", style="green")
    ]
    return Group(*lines)


def _summed(levels: Levels) -> list[tuple[tuple[Decimal, Decimal], Decimal]]:
    """Each level with the size of all up to it, from the best one."""
    found, total = [], Decimal(0)
    for level in levels:
        total += level[1]
        found.append((level, total))
    return found


def _counts(orders: OrderBook | None) -> Mapping[Decimal, int] | None:
    """How many orders rest at each price."""
    return None if orders is None else orders.counts(Side.BUY) + orders.counts(Side.SELL)


class _Rows:
    """Levels as lines of one width, with ``counts`` of their orders where these are known: columns as wide as their widest number,
    the rest is the bar's.
    """

    def __init__(self, levels: Levels, width: int, counts: Mapping[Decimal, int] | None) -> None:
        self._price_decimals = _decimals(price for price, _ in levels)
        self._size_decimals = _decimals(size for _, size in levels)
        total = sum((size for _, size in levels), Decimal(0))
        self._price = max(len("price"), *(len(self._as_price(price)) for price, _ in levels), 0)
        self._size = max(len("cumulated"), len(self._as_size(total)))
        self._counts = counts
        self._count = 0 if counts is None else COUNT
        self._bar = max(0, width - self._price - 2 * self._size - self._count - 6)
        self._most = max((size for _, size in levels), default=Decimal(1))

    def titles(self) -> Text:
        orders = "" if self._counts is None else f"{'orders':>{COUNT}}"
        words = f"{'price':>{self._price}}  {'size':>{self._size}}{orders}  {'cumulated':>{self._size}}"
        return Text(words, style="bold", no_wrap=True)

    def line(self, level: tuple[Decimal, Decimal], total: Decimal, style: str) -> Text:
        price, size = level
        orders = "" if self._counts is None else f"{self._counts.get(price, 0):>{COUNT},}"
        numbers = f"  {self._as_size(size):>{self._size}}{orders}  {self._as_size(total):>{self._size}}  "
        return Text.assemble(
            (f"{self._as_price(price):>{self._price}}", style),
            numbers,
            (_bar(size / self._most, self._bar), style),
            no_wrap=True,
            overflow="crop",
        )

    def _as_price(self, price: Decimal) -> str:
        return f"{price:.{self._price_decimals}f}"

    def _as_size(self, size: Decimal) -> str:
        return f"{size:.{self._size_decimals}f}"


def _bar(share: Decimal, width: int) -> str:
    """Of ``width`` columns in eighths; what is not nothing shows."""
    eighths = max(1, int(share * width * 8)) if width else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest - 1] if rest else "")


def _spread(book: Book) -> Text:
    bid, ask = book.best_bid, book.best_ask
    if bid is None or ask is None:
        return Text("one side is empty: no spread", style="yellow")
    spread, mid = ask[0] - bid[0], (ask[0] + bid[0]) / 2
    words = f"spread {plain(str(spread))} ({spread / mid * 10_000:.3f} bps)   mid {plain(str(mid))}"
    return Text(words + ("   CROSSED" if book.crossed else ""), style="bold red" if book.crossed else "bold")


def _trades(newest_first: Sequence[Trade]) -> RenderableType:
    if not newest_first:
        return Text("none yet", style="dim")
    prices, sizes = _decimals(t.price for t in newest_first), _decimals(t.size for t in newest_first)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("time", no_wrap=True)
    table.add_column("side", no_wrap=True)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for t in newest_first:
        row = (_time(t.ts_event), t.aggressor.value, f"{t.price:.{prices}f}", f"{t.size:.{sizes}f}")
        table.add_row(*row, style=SIDES[t.aggressor])
    return table


def _decimals(numbers: Iterable[Decimal]) -> int:
    """How many decimals show every one of them in full."""
    return max((len(plain(str(n)).partition(".")[2]) for n in numbers), default=0)


def _time(ts: int) -> str:
    """Time of day to the millisecond."""
    at = datetime.fromtimestamp(ts // SECOND, UTC)
    return f"{at:%H:%M:%S}.{ts % SECOND // 1_000_000:03d}"


def _age(ns: int) -> str:
    seconds = ns / SECOND
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
