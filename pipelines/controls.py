"""controls -> controls.state and the inboxes. One state: what is in force per scope. The gateway folds it too.

A scope's state and its limits are kept apart, so a limit set later never erases a kill. Only a ``Resume`` of that very
scope lifts its kill; the firm's kill holds whatever is resumed below it. Commands that cannot be honoured (a limit that
is no finite number of a sane size, parameters that are no JSON object or name no strategy) change nothing: who issues them checks
them.

A command counts once by ``control_id``. The last ``RECENT`` ids are kept per kind of scope: the shell's fence stops
what is delivered twice, this stops an operator's client that asks again.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from pipelines.exact import is_sane
from topics.catalog import CONTROLS
from topics.controls import (
    FIRM,
    AnyControl,
    Control,
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
    TradingState,
)
from topics.coordinates import At
from topics.record import Account, InstrumentId, Record, StrategyId, venue_of
from topics.stage import Outputs, Stage
from topics.strategy import ParamsChanged, StrategyResumed

RECENT = 1000

_STRICTNESS = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)


class ScopeControls(msgspec.Struct):
    """What is in force for one scope; ``params`` are the JSON texts of the parameters set so far, by name."""

    state: TradingState = TradingState.ACTIVE
    limits: dict[LimitName, Decimal] = {}
    params: dict[str, str] = {}
    removed: dict[LimitName, bool] = {}
    """Limits that an operator has taken away, and nobody set since."""


class ControlsState(msgspec.Struct):
    """``scopes`` by the scope's text; ``recent`` ids per kind of scope, oldest first."""

    scopes: dict[str, ScopeControls] = {}
    recent: dict[ScopeKind, dict[str, None]] = {}

    def apply(self, control: AnyControl) -> list[Record]:
        """Fold one command; a repeated one gives nothing. A ``Flatten`` is remembered and left to the gateway."""
        if self.has_seen(control):
            return []
        self._remember(control)
        match control:
            case Kill():
                return [self._set_state(control, TradingState.HALTED)]
            case Resume():
                return [self._set_state(control, TradingState.ACTIVE), *_resumed(control)]
            case SetLimit():
                return self._set_limit(control)
            case RemoveLimit():
                return self._remove_limit(control)
            case SetParams():
                return self._set_params(control)
            case Flatten():
                return []

    def has_seen(self, control: Control) -> bool:
        return control.control_id in self.recent.get(control.scope.kind, {})

    def state_for(self, account: Account, strategy: StrategyId, instrument: InstrumentId) -> TradingState:
        """The strictest of the firm's, the venue's, the account's, the strategy's and the instrument's."""
        states = (controls.state for _, controls in self._applying(account, strategy, instrument))
        return max(states, key=_STRICTNESS.index, default=TradingState.ACTIVE)

    def limit_for(
        self, name: LimitName, account: Account, strategy: StrategyId, instrument: InstrumentId
    ) -> list[tuple[Scope, Decimal]]:
        """Every scope that supplies it, from the firm down; empty: no scope does, and its check denies."""
        applying = self._applying(account, strategy, instrument)
        return [(scope, controls.limits[name]) for scope, controls in applying if name in controls.limits]

    def in_force(self, control: Control) -> InForce:
        """Everything in force for the control's scope, as of that control."""
        controls = self._of(control.scope)
        return InForce(
            scope=control.scope,
            state=controls.state,
            limits=dict(controls.limits),
            control_id=control.control_id,
            who=control.who,
            why=control.why,
            ts_init=control.ts_init,
        )

    def _of(self, scope: Scope) -> ScopeControls:
        return self.scopes.setdefault(str(scope), ScopeControls())

    def _applying(
        self, account: Account, strategy: StrategyId, instrument: InstrumentId
    ) -> Iterator[tuple[Scope, ScopeControls]]:
        for scope in scopes_of(account, strategy, instrument):
            controls = self.scopes.get(str(scope))
            if controls is not None:
                yield scope, controls

    def _remember(self, control: Control) -> None:
        recent = self.recent.setdefault(control.scope.kind, {})
        recent[control.control_id] = None
        if len(recent) > RECENT:
            del recent[next(iter(recent))]

    def _set_state(self, control: Control, state: TradingState) -> InForce:
        self._of(control.scope).state = state
        return self.in_force(control)

    def _set_limit(self, control: SetLimit) -> list[Record]:
        if not is_sane(control.value):
            return []
        controls = self._of(control.scope)
        controls.limits[control.limit] = control.value
        controls.removed.pop(control.limit, None)
        return [self.in_force(control)]

    def _remove_limit(self, control: RemoveLimit) -> list[Record]:
        """Remembered, so that the configuration's seed does not bring it back."""
        controls = self._of(control.scope)
        controls.limits.pop(control.limit, None)
        controls.removed[control.limit] = True
        return [self.in_force(control)]

    def _set_params(self, control: SetParams) -> list[Record]:
        """Emits all parameters set so far, so that one who missed an earlier command lacks nothing."""
        changes = _json_object(control.params)
        if control.scope.kind is not ScopeKind.STRATEGY or changes is None:
            return []
        params = self._of(control.scope).params
        params |= changes
        whole = msgspec.json.encode({k: msgspec.Raw(v.encode()) for k, v in params.items()}, order="deterministic")
        common = {"who": control.who, "why": control.why}
        return [ParamsChanged(strategy=control.scope.id, params=msgspec.Raw(whole), **common, ts_init=control.ts_init)]


def scopes_of(account: Account, strategy: StrategyId, instrument: InstrumentId) -> list[Scope]:
    """The scopes that an order of this strategy falls under, from the firm down."""
    return [
        FIRM,
        Scope(ScopeKind.VENUE, venue_of(account)),
        Scope(ScopeKind.ACCOUNT, account),
        Scope(ScopeKind.STRATEGY, strategy),
        Scope(ScopeKind.INSTRUMENT, instrument),
    ]


def _resumed(control: Resume) -> list[Record]:
    if control.scope.kind is not ScopeKind.STRATEGY:
        return []
    return [
        StrategyResumed(strategy=control.scope.id, who=control.who, why=control.why, ts_init=control.ts_init),
    ]


def _json_object(raw: msgspec.Raw) -> dict[str, str] | None:
    """The JSON text of each member; None when it is no object."""
    try:
        members = msgspec.json.decode(bytes(raw), type=dict[str, msgspec.Raw])
        return {name: bytes(value).decode() for name, value in members.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def on_event(state: ControlsState | None, control: AnyControl, at: At) -> tuple[ControlsState, Outputs]:
    state = state or ControlsState()
    return state, state.apply(control)


STAGE = Stage(
    name="controls",
    input=CONTROLS,
    state_type=ControlsState,
    state_key=lambda control: "controls",
    on_event=on_event,
    outputs=(InForce, StrategyResumed, ParamsChanged),
)
