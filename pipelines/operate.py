"""What operators do to a running system. Every change is a record with who and why; nothing here needs a gateway to be recorded."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from getpass import getuser

from infra import kafka
from infra.config import Config
from infra.errors import Hopeless, Problem
from infra.kafka import KafkaConf
from topics import catalog, wire
from topics.controls import (
    AnyControl,
    Flatten,
    InForce,
    Kill,
    LimitName,
    RemoveLimit,
    Resume,
    Scope,
    ScopeKind,
    SetLimit,
    SetParams,
)
from topics.orders import CancelOrder, OrderUpdated
from topics.portfolio import BalanceChanged, PortfolioLine, PositionChanged
from topics.record import EXTERNAL, MANUAL, StrategyId


def whoami() -> str:
    """The person at the terminal: TAPEDECK_WHO, else the login name."""
    return os.environ.get("TAPEDECK_WHO") or getuser()


def scope_of(text: str, config: Config, seen: Callable[[], Iterable[StrategyId]] = tuple) -> Scope:
    """The scope a person typed; Problem when it is none, or names something this configuration does not have.
    ``seen`` are the strategies of orders on the tape: they may come over gRPC without being configured.
    """
    try:
        scope = Scope.parse(text)
    except ValueError as error:
        raise Hopeless(str(error)) from None
    known = {
        ScopeKind.VENUE: set(config.venues),
        ScopeKind.ACCOUNT: set(config.accounts),
        ScopeKind.STRATEGY: set(config.strategies) | {EXTERNAL, MANUAL},
        ScopeKind.INSTRUMENT: {i for v in config.venues for i in config.instruments_of(v)},
    }.get(scope.kind)
    if scope.kind is ScopeKind.STRATEGY and known is not None and scope.id not in known:
        known |= set(seen())
    if known is not None and scope.id not in known:
        raise Hopeless(f"no {scope.kind} named {scope.id!r}: one of {', '.join(sorted(known))}")
    return scope


def typed_scope(text: str, config: Config, conf: KafkaConf) -> Scope:
    """As ``scope_of``, of a run that is on the broker."""
    return scope_of(text, config, lambda: {order.strategy for order in orders(config, conf)})


def _common(scope: Scope, who: str, why: str) -> dict[str, object]:
    if not why.strip():
        raise Hopeless("say why: --why 'reason'")
    return {"control_id": uuid.uuid4().hex, "scope": scope, "who": who, "why": why, "ts_init": time.time_ns()}


def kill(scope: Scope, who: str, why: str) -> Kill:
    return Kill(**_common(scope, who, why))  # type: ignore[arg-type]


def resume(scope: Scope, who: str, why: str) -> Resume:
    return Resume(**_common(scope, who, why))  # type: ignore[arg-type]


def flatten(scope: Scope, who: str, why: str) -> Flatten:
    return Flatten(**_common(scope, who, why))  # type: ignore[arg-type]


def set_params(scope: Scope, params: bytes, who: str, why: str) -> SetParams:
    import msgspec

    return SetParams(params=msgspec.Raw(params), **_common(scope, who, why))  # type: ignore[arg-type]


def parsed_params(config: Config, strategy: str, changes: list[str]) -> bytes:
    """``name=value`` pairs as JSON, tried on the strategy's own parameters first; Problem names what does not fit."""
    import msgspec

    from strategies import StrategyError
    from strategies.loading import load_strategy

    given = dict(change.partition("=")[::2] for change in changes)
    if bad := [c for c in changes if "=" not in c]:
        raise Hopeless(f"not NAME=VALUE: {bad[0]!r}")
    try:
        cls = type(load_strategy(config.strategies[strategy].class_path, config.strategies[strategy].params))
        unknown = sorted(set(given) - set(cls.Params.__struct_fields__))
        if unknown:
            raise Hopeless(f"no parameter {unknown[0]!r}: one of {', '.join(cls.Params.__struct_fields__)}")
        whole = msgspec.convert({**config.strategies[strategy].params, **given}, cls.Params, strict=False)
    except (StrategyError, msgspec.ValidationError) as error:
        raise Hopeless(f"strategy {strategy}: {error}") from error
    return msgspec.json.encode({name: getattr(whole, name) for name in given})


def params_in_force(config: Config, conf: KafkaConf, strategy: str) -> dict[str, tuple[str, str]]:
    """Each parameter's value as JSON, and who gave it that: the configuration, or an operator and why."""
    commands = kafka.read_all(conf, kafka.physical(config.prefix, catalog.CONTROLS))
    controls = [c for m in commands for c in wire.decode(m.value() or b"", catalog.CONTROLS.types)]
    return folded_params(config, strategy, controls)


def folded_params(config: Config, strategy: str, controls: Iterable[AnyControl]) -> dict[str, tuple[str, str]]:
    """As the strategy folds them: what it would refuse changes nothing."""
    import msgspec

    from pipelines.controls import ControlsState
    from strategies import StrategyError
    from strategies.loading import load_strategy, merge_params

    if strategy not in config.strategies:
        raise Hopeless(f"no strategy {strategy!r} in [strategies]: one of {', '.join(config.strategies) or 'none'}")
    given = config.strategies[strategy]
    try:
        loaded = load_strategy(given.class_path, given.params)
    except StrategyError as error:
        raise Hopeless(f"strategies.{strategy}: {error}") from error
    state, params = ControlsState(), loaded.params
    where = {name: "configuration" if name in given.params else "default" for name in params.__struct_fields__}
    for control in controls:
        if not isinstance(control, SetParams) or control.scope != Scope(ScopeKind.STRATEGY, strategy):
            continue
        for changed in state.apply(control):
            with contextlib.suppress(StrategyError):
                params = merge_params(type(loaded), params, bytes(changed.params))  # type: ignore[attr-defined]
                where |= dict.fromkeys(msgspec.json.decode(control.params), f"{control.who}: {control.why}")
    return {name: (msgspec.json.encode(getattr(params, name)).decode(), where[name]) for name in where}


def set_limit(scope: Scope, name: str, value: str, who: str, why: str) -> SetLimit:
    """Problem when the name or the number is none."""
    if name not in set(LimitName):
        raise Hopeless(f"no limit named {name!r}: one of {', '.join(LimitName)}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise Hopeless(f"not a number: {value!r}") from None
    if not number.is_finite() or number < 0:
        raise Hopeless(f"a limit is a number of at least 0, not {value}")
    return SetLimit(limit=LimitName(name), value=number, **_common(scope, who, why))  # type: ignore[arg-type]


def remove_limit(scope: Scope, name: str, who: str, why: str) -> RemoveLimit:
    if name not in set(LimitName):
        raise Hopeless(f"no limit named {name!r}: one of {', '.join(LimitName)}")
    return RemoveLimit(limit=LimitName(name), **_common(scope, who, why))  # type: ignore[arg-type]


def record(config: Config, conf: KafkaConf, control: AnyControl) -> None:
    kafka.publish(conf, config.prefix, [control], config.subscriptions())


def orders(config: Config, conf: KafkaConf) -> list[OrderUpdated]:
    """The last state of every order that is kept, oldest first."""
    found = [o for o in kafka.latest(conf, config.prefix, catalog.ORDERS_STATE_LATEST) if isinstance(o, OrderUpdated)]
    return sorted(found, key=lambda o: (o.ts_init, o.client_order_id))


def positions(config: Config, conf: KafkaConf) -> list[PositionChanged]:
    return kafka.latest(conf, config.prefix, catalog.POSITIONS_LATEST)


def halts(config: Config) -> dict[str, str]:
    """What every gateway has stopped, and why, by its own status file; {} where none runs."""
    import json

    found: dict[str, str] = {}
    for path in sorted((config.run_dir / "status").glob("gateway.*.json")):
        try:
            status = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        found |= status.get("halts", {})
    return found


def portfolio(config: Config, conf: KafkaConf) -> list[PortfolioLine]:
    return kafka.latest(conf, config.prefix, catalog.PORTFOLIO_STATE_LATEST)


def in_force(config: Config, conf: KafkaConf) -> list[InForce]:
    return kafka.latest(conf, config.prefix, catalog.CONTROLS_STATE_LATEST)


def balances(config: Config, conf: KafkaConf) -> list[BalanceChanged]:
    """The venue's last word on every currency."""
    found: dict[tuple[str, str], BalanceChanged] = {}
    for message in kafka.read_all(conf, kafka.physical(config.prefix, catalog.ACCOUNT_EVENTS)):
        for balance in wire.decode(message.value() or b"", catalog.ACCOUNT_EVENTS.types):
            found[balance.account, balance.currency] = balance
    return [found[key] for key in sorted(found)]


def cancel(
    config: Config, conf: KafkaConf, client_order_id: str, who: str, why: str, timeout_s: float = 8.0
) -> OrderUpdated:
    """Ask for one order's cancel and wait for what became of it; Problem when there is no such working order, or no answer."""
    order = next((o for o in orders(config, conf) if o.client_order_id == client_order_id), None)
    if order is None:
        raise Hopeless(f"no order {client_order_id}: see 'tapedeck orders'")
    if order.status.is_terminal:
        raise Hopeless(f"order {client_order_id} is {order.status} already")
    command = CancelOrder(
        command_id=f"operator-{uuid.uuid4().hex}",
        client_order_id=client_order_id,
        strategy=order.strategy,
        account=order.account,
        instrument=order.instrument,
        reason=f"{who}: {why}",
        ts_init=time.time_ns(),
    )
    kafka.publish(conf, config.prefix, [command], config.subscriptions())
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        now = next((o for o in orders(config, conf) if o.client_order_id == client_order_id), order)
        if now.status.is_terminal:
            return now
        time.sleep(0.2)
    raise Problem(
        f"the cancel of {client_order_id} is recorded but not confirmed after {timeout_s:g} s: is the gateway up?"
    )
