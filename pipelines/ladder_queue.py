"""The orders that rest at one price, the first to be filled on top: who stands where, and how much is ahead of it."""

from decimal import Decimal

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipelines.ladder import Ladder
from topics.book import plain
from topics.order_book import OrderBook
from topics.record import Side

BEST = {"bid": Side.BUY, "ask": Side.SELL}
COLOURS = {Side.BUY: "green", Side.SELL: "red"}
Where = Side | Decimal
"""The best price of a side, or a price."""


def place(words: str) -> Where:
    """ValueError where it is neither ``bid``, ``ask`` nor a price."""
    if words in BEST:
        return BEST[words]
    try:
        price = Decimal(words)
    except ArithmeticError:
        price = Decimal(0)
    if not (price.is_finite() and price > 0):
        raise ValueError(f"{words!r} is neither bid, ask nor a price")
    return price


def queue_panel(ladder: Ladder, where: Where, rows: int) -> Panel:
    """``rows``: orders shown at most."""
    if ladder.orders is None:
        return Panel(Text("the orders are not known here", style="yellow"), title="queue", border_style="dim")
    found = _level(ladder.orders, where)
    if found is None:
        return Panel(Text("no orders there", style="yellow"), title="queue", border_style="dim")
    side, price = found
    orders = ladder.orders.queue(side, price)
    name = "bid" if side is Side.BUY else "ask"
    title = f"{name} {plain(str(price))}, {len(orders)} {'order' if len(orders) == 1 else 'orders'}"
    return Panel(_table(orders, rows, COLOURS[side]), title=title, border_style="dim")


def _level(orders: OrderBook, where: Where) -> tuple[Side, Decimal] | None:
    if isinstance(where, Side):
        price = orders.best(where)
        return None if price is None else (where, price)
    return next(((side, where) for side in Side if orders.queue(side, where)), None)


def _table(orders: list[tuple[str, Decimal]], rows: int, style: str) -> RenderableType:
    decimals = max(len(plain(str(size)).partition(".")[2]) for _, size in orders)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("#", "size", "ahead"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("order", no_wrap=True, overflow="ellipsis")
    ahead = Decimal(0)
    for n, (order_id, size) in enumerate(orders[:rows], start=1):
        table.add_row(f"{n}", f"{size:.{decimals}f}", f"{ahead:.{decimals}f}", order_id, style=style)
        ahead += size
    if len(orders) > rows:
        rest = sum((size for _, size in orders[rows:]), Decimal(0))
        table.add_row("", f"{rest:.{decimals}f}", f"{ahead:.{decimals}f}", f"{len(orders) - rows} more", style="dim")
    return table
