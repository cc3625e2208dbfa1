"""The operators' commands: look at orders, positions, balances and limits; cancel, flatten, kill, resume."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra import services
from infra.config import Config, load
from infra.errors import Hopeless, Problem
from infra.kafka import KafkaConf, check_broker
from pipelines import denials, exact, operate, operate_orders
from pipelines.plain import plain_json
from topics.controls import LimitName
from topics.orders import ModifyRejected, OrderModified, OrderStatus
from topics.record import Side

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration; default: the current run's.")
]
Who = Annotated[str, typer.Option(help="Who does this; default: TAPEDECK_WHO or the login name.")]
Why = Annotated[str, typer.Option(help="Why; it stands beside the change for ever.", prompt=False)]
ScopeArgument = Annotated[
    str, typer.Argument(help="firm, venue:VENUE, account:ACCOUNT, strategy:NAME or instrument:VENUE:BASE-QUOTE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
SOMETIMES = ("trigger", "avg", "reason")
"""Columns of orders that are left out where they would be empty: a terminal may be narrow."""
out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 250)


def _system(path: Path | None) -> tuple[Config, KafkaConf]:
    config = load(path)
    found = services.broker(config.home)
    if found is None:
        raise services.ServiceError(f"Kafka is down in {config.home}: start it with 'tapedeck services up'")
    check_broker(found)
    return config, found


def text(value: Any) -> str:
    """A figure for a table: no exponent, no trailing zeros; a dash for nothing."""
    if value is None:
        return "–"
    return exact.text(value) if isinstance(value, Decimal) else str(value)


NARROW = 100
FOLDING = ("client_order_id", "strategy", "reason")


def show(records: list[Any], columns: dict[str, str], as_json: bool, empty: str) -> None:
    """A table of the named fields, or JSON lines of the whole records."""
    if as_json:
        for r in records:
            typer.echo(plain_json(r))
        return
    if not records:
        out.print(empty)
        return
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for title, field in columns.items():
        is_text = isinstance(getattr(records[0], field), str)
        folds = field in FOLDING  # where the terminal is narrow, so that no figure is cut
        table.add_column(
            title,
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=not folds,
            min_width=10 if folds else None,
        )
    for r in records:
        table.add_row(*(_cell(r, field) for field in columns.values()))
    out.print(table)


def _cell(record: Any, field: str) -> str:
    value = text(getattr(record, field))
    if out.width < NARROW and value == OrderStatus.PARTIALLY_FILLED:
        return "partial"
    denied = field == "reason" and getattr(record, "status", "") == OrderStatus.DENIED
    return escape(denials.of_reason(value) if denied else value)


def orders(
    config: ConfigOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Working orders (--all: closed ones too)."""
    found = operate.orders(*_system(config))
    chosen = [o for o in found if everything or not o.status.is_terminal]
    columns = {
        "order": "client_order_id",
        "instrument": "instrument",
        "side": "side",
        "type": "order_type",
        "qty": "order_qty",
        "price": "price",
        "trigger": "trigger_price",
        "status": "status",
        "filled": "cum_qty",
        "avg": "avg_px",
        "reason": "reason",
    }

    def is_told(title: str) -> bool:
        values = {getattr(o, columns[title]) for o in chosen}
        return title not in SOMETIMES or not values <= {None, ""}

    left_out = {"avg"} if out.width < NARROW else set()
    told = {title: field for title, field in columns.items() if title not in left_out and is_told(title)}
    show(chosen, told, as_json, "no working orders" if found else "no orders yet")


def positions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What each strategy holds by its trades."""
    columns = {
        "account": "account",
        "strategy": "strategy",
        "instrument": "instrument",
        "quantity": "quantity",
        "avg price": "avg_px",
        "realized": "realized_pnl",
        "bought": "bought_qty",
        "sold": "sold_qty",
        "fills": "fills",
    }
    show(operate.positions(*_system(config)), columns, as_json, "no positions yet")


def balances(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What the venue says an account holds."""
    columns = {"account": "account", "currency": "currency", "free": "free", "locked": "locked", "reason": "reason"}
    show(operate.balances(*_system(config)), columns, as_json, "no balances yet: has the gateway started?")


def cancel(client_order_id: str, why: Why, who: Who = "", config: ConfigOption = None) -> None:
    """Cancel one order and wait until the venue confirms."""
    order = operate.cancel(*_system(config), client_order_id, who or operate.whoami(), why)
    out.print(f"{order.client_order_id}: {order.status}, {text(order.cum_qty)} of {text(order.order_qty)} filled")


def modify(
    client_order_id: str,
    why: Why,
    qty: Annotated[str | None, typer.Option(help="The whole order's quantity, executed part included.")] = None,
    price: Annotated[str | None, typer.Option(help="The limit.")] = None,
    trigger: Annotated[str | None, typer.Option(help="A stop order's trigger.")] = None,
    who: Who = "",
    config: ConfigOption = None,
) -> None:
    """Give a working order other terms and wait for what comes of it. A smaller quantity keeps the order's place."""
    loaded, conf = _system(config)
    given = {"order_qty": qty, "price": price, "trigger_price": trigger}
    terms = {name: operate_orders.number(value, name) for name, value in given.items()}
    answer = operate_orders.modify(loaded, conf, client_order_id, terms, who or operate.whoami(), why)
    match answer:
        case OrderModified(replaced_by=other) if other:
            out.print(f"{client_order_id}: canceled; the rest is order {other}")
        case OrderModified():
            out.print(f"{client_order_id}: modified, revision {answer.revision}")
        case ModifyRejected():
            raise Problem(f"{client_order_id}: not modified: {answer.code} {answer.reason}")
        case _:
            why = denials.told(answer.check, answer.value, answer.limit)
            raise Problem(f"{client_order_id}: denied by {why}")


def order_test(
    instrument: str,
    side: Annotated[str, typer.Argument(help="buy or sell")],
    qty: str,
    price: Annotated[str | None, typer.Option(help="The limit; without one a market order.")] = None,
    trigger: Annotated[str | None, typer.Option(help="Makes it a stop order.")] = None,
    account: Annotated[str, typer.Option(help="Default: the only one on the instrument's venue.")] = "",
    config: ConfigOption = None,
) -> None:
    """Try an order out: all checks of the running gateway, then the venue's own test. Nothing is placed or recorded."""
    if side not in set(Side):
        raise Hopeless(f"{side!r} is no side: {' or '.join(Side)}")
    loaded = load(config)
    amounts = [
        operate_orders.number(value, name) for value, name in ((qty, "QTY"), (price, "price"), (trigger, "trigger"))
    ]
    assert amounts[0] is not None
    said = operate_orders.try_order(loaded, instrument, Side(side), amounts[0], amounts[1], amounts[2], account)
    out.print(f"{said}: it would pass every check here and at the venue; nothing was placed")


def kill(scope: ScopeArgument, why: Why, who: Who = "", config: ConfigOption = None) -> None:
    """Stop new risk in scope and cancel everything in it, until 'resume'. Works without a gateway."""
    loaded, conf = _system(config)
    control = operate.kill(operate.typed_scope(scope, loaded, conf), who or operate.whoami(), why)
    operate.record(loaded, conf, control)
    out.print(
        f"killed {control.scope}: recorded as {control.control_id}; the gateway cancels until the venue confirms (see 'tapedeck orders')"
    )


def resume(scope: ScopeArgument, why: Why, who: Who = "", config: ConfigOption = None) -> None:
    """Re-enable what a kill, a halt or a failed strategy stopped."""
    loaded, conf = _system(config)
    control = operate.resume(operate.typed_scope(scope, loaded, conf), who or operate.whoami(), why)
    operate.record(loaded, conf, control)
    out.print(f"resumed {control.scope}, by {control.who}: recorded as {control.control_id}")


def flatten(scope: ScopeArgument, why: Why, who: Who = "", config: ConfigOption = None) -> None:
    """Cancel everything in scope and close its positions at the market."""
    loaded, conf = _system(config)
    control = operate.flatten(operate.typed_scope(scope, loaded, conf), who or operate.whoami(), why)
    operate.record(loaded, conf, control)
    out.print(f"flattening {control.scope}: recorded as {control.control_id} (see 'tapedeck positions')")


def limits(
    scope: Annotated[str | None, typer.Argument(help="With a name and a value: the scope to set it for.")] = None,
    name: Annotated[str | None, typer.Argument(help="The limit's name.")] = None,
    value: Annotated[str | None, typer.Argument(help="Its value.")] = None,
    why: Annotated[str, typer.Option(help="Why, when setting or removing one.")] = "",
    who: Who = "",
    remove: Annotated[
        bool,
        typer.Option(
            "--remove", help="Of SCOPE NAME: take the limit away. A check that no scope gives a limit denies."
        ),
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Limits and states in force; with SCOPE NAME VALUE --why, set one; with SCOPE NAME --remove --why, remove one."""
    loaded, conf = _system(config)
    if remove:
        if scope is None or name is None or value is not None:
            raise Problem(f"to remove a limit give SCOPE NAME --remove, the name one of {', '.join(LimitName)}")
        removed = operate.remove_limit(operate.typed_scope(scope, loaded, conf), name, who or operate.whoami(), why)
        operate.record(loaded, conf, removed)
        out.print(f"{removed.scope} {removed.limit} removed, by {removed.who}: recorded as {removed.control_id}")
        return
    if scope is not None:
        if name is None or value is None:
            raise Problem(f"to set a limit give SCOPE NAME VALUE, the name one of {', '.join(LimitName)}")
        control = operate.set_limit(operate.typed_scope(scope, loaded, conf), name, value, who or operate.whoami(), why)
        operate.record(loaded, conf, control)
        out.print(
            f"{control.scope} {control.limit} = {text(control.value)}, by {control.who}: recorded as {control.control_id}"
        )
        return
    found = operate.in_force(loaded, conf)
    if as_json:
        show(found, {}, True, "")
        return
    table = Table(box=None, header_style="bold")
    for title in ("scope", "state", "limits", "by", "why"):
        table.add_column(title)
    for f in found:
        named = "  ".join(f"{n}={text(v)}" for n, v in sorted(f.limits.items()))
        table.add_row(str(f.scope), f.state, named, f.who, f.why)
    out.print(table if found else "no limits in force yet")
    for instrument, why in operate.halts(loaded).items():
        out.print(
            f"halted for new risk: {instrument}: {why} (look, then 'tapedeck resume instrument:{instrument} --why …')",
            style="red",
        )


def params(
    strategy: Annotated[str, typer.Argument(help="The strategy's name.")],
    changes: Annotated[list[str] | None, typer.Argument(help="NAME=VALUE, as many as are to change.")] = None,
    why: Annotated[str, typer.Option(help="Why, when changing one.")] = "",
    who: Who = "",
    config: ConfigOption = None,
) -> None:
    """Parameters in force; with NAME=VALUE --why, change them: they stay in force across restarts."""
    loaded, conf = _system(config)
    scope = operate.scope_of(f"strategy:{strategy}", loaded)
    if not changes:
        for name, (value, where) in operate.params_in_force(loaded, conf, strategy).items():
            out.print(f"{name} = {value}  ({where})")
        return
    control = operate.set_params(scope, operate.parsed_params(loaded, strategy, changes), who or operate.whoami(), why)
    operate.record(loaded, conf, control)
    out.print(f"{control.scope}: {bytes(control.params).decode()}, by {control.who}: recorded as {control.control_id}")


def mount(app: typer.Typer) -> None:
    app.command("order-test")(order_test)
    for command in (orders, positions, balances, cancel, modify, kill, resume, flatten, params):
        app.command()(command)
    app.command(context_settings={"ignore_unknown_options": True})(limits)  # -5 is a value, and refused as one
