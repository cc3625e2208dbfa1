"""The portfolio: lines per instrument, strategy and account, valued in the reporting currency, told once a second."""

from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipelines.portfolio import STAGE, Portfolio, portfolio_stage
from tests.facts import ACCOUNT, INSTRUMENT, STRATEGY, T0, D, definition, mark, position, tick
from tests.folding import Folding, fold, run
from tests.strategies_of_facts import doubled
from topics import wire
from topics.controls import FIRM, InForce
from topics.portfolio import BalanceChanged, PortfolioLine, PositionChanged
from topics.record import Record
from topics.stage import Stage

BTC, BNB, ETH_BTC = definition("sim:BTC-USDT"), definition("sim:BNB-USDT"), definition("sim:ETH-BTC")
LINE, SUM, WHOLE = (ACCOUNT, STRATEGY, INSTRUMENT), (ACCOUNT, STRATEGY, ""), (ACCOUNT, "", "")


def key_of(line: Record) -> tuple[str, str, str]:
    assert isinstance(line, PortfolioLine)
    return line.account, line.strategy, line.instrument


def lines_after(*events: Record, stage: Stage[Portfolio] = STAGE) -> dict[tuple[str, str, str], PortfolioLine]:
    """The lines as last told."""
    outputs = run(stage, events)
    return {key_of(line): line for line in outputs if isinstance(line, PortfolioLine)}


def test_a_position_is_valued_at_the_mid_and_summed_per_strategy_and_account() -> None:
    lines = lines_after(mark("110", spread="2"), position("2", "200", fees={"USDT": D("0.5")}))
    assert list(lines) == [LINE, SUM, WHOLE]
    for line in lines.values():
        assert (line.gross_exposure, line.net_exposure) == (D(220), D(220))
        assert (line.unrealized_pnl, line.fees, line.total_pnl) == (D(20), D("0.5"), D("19.5"))
        assert (line.currency, line.complete, line.ts_init) == ("USDT", True, T0)
    assert (lines[LINE].quantity, lines[LINE].mark) == (D(2), D(110))
    assert (lines[WHOLE].quantity, lines[WHOLE].mark) == (D(0), None)


def test_a_short_position_has_a_negative_net_and_a_positive_gross_exposure() -> None:
    line = lines_after(mark("90"), position("-2", "200"))[LINE]
    assert (line.gross_exposure, line.net_exposure, line.unrealized_pnl) == (D(180), D(-180), D(20))


def test_the_account_adds_strategies_gross_and_nets_them_in_net() -> None:
    lines = lines_after(mark("100"), position("2", "200"), position("-2", "200", strategy="trend"))
    assert (lines[WHOLE].gross_exposure, lines[WHOLE].net_exposure) == (D(400), D(0))
    assert lines[ACCOUNT, "trend", ""].net_exposure == D(-200)


def test_accounts_are_kept_apart() -> None:
    lines = lines_after(mark("100"), position("2", "200"), position("1", "100", account="sim.other"))
    assert (lines[WHOLE].gross_exposure, lines["sim.other", "", ""].gross_exposure) == (D(200), D(100))


def test_the_multiplier_counts() -> None:
    line = lines_after(mark("110"), position("2", "2000", multiplier=D(10)))[LINE]
    assert (line.gross_exposure, line.unrealized_pnl) == (D(2200), D(200))


def test_without_a_mark_an_open_position_is_incomplete_until_the_mark_comes() -> None:
    before = lines_after(position("2", "200"))
    after = lines_after(position("2", "200"), mark("110"), tick(1))
    assert not any(line.complete for line in before.values())
    assert (before[LINE].unrealized_pnl, before[LINE].peak_pnl, before[LINE].drawdown) == (D(0), D(0), D(0))
    assert all(line.complete for line in after.values())


def test_a_flat_position_needs_no_mark() -> None:
    flat = position("0", "0", bought_value=D(100), sold_value=D(107), realized_pnl=D(7))
    line = lines_after(flat)[LINE]
    assert (line.complete, line.realized_pnl, line.unrealized_pnl, line.total_pnl) == (True, D(7), D(0), D(7))


def test_fees_in_another_currency_are_converted_by_marks() -> None:
    bought = position("1", "100", fees={"BNB": D("0.01"), "USDT": D("0.1")})
    line = lines_after(BNB, mark("500", "sim:BNB-USDT"), mark("100"), bought)[LINE]
    assert (line.fees, line.total_pnl, line.complete) == (D("5.1"), D("-5.1"), True)


def test_a_fee_without_a_rate_is_left_out_and_said() -> None:
    line = lines_after(mark("100"), position("1", "100", fees={"BNB": D("0.01"), "USDT": D("0.1")}))[LINE]
    assert (line.fees, line.complete) == (D("0.1"), False)


def test_a_fee_of_nothing_needs_no_rate() -> None:
    assert lines_after(mark("100"), position("1", "100", fees={"BNB": D(0)}))[LINE].complete


def test_values_are_in_the_accounts_reporting_currency() -> None:
    stage = portfolio_stage({ACCOUNT: "USDT"})
    eth = position("2", "0.1", instrument="sim:ETH-BTC", base="ETH", quote="BTC")
    lines = lines_after(BTC, ETH_BTC, mark("100"), mark("0.06", "sim:ETH-BTC"), eth, stage=stage)
    line = lines[ACCOUNT, STRATEGY, "sim:ETH-BTC"]
    assert (line.currency, line.mark, line.net_exposure, line.unrealized_pnl) == ("USDT", D("0.06"), D(12), D(2))


def test_a_rate_may_be_the_inverse_of_a_mark() -> None:
    stage = portfolio_stage({ACCOUNT: "BTC"})
    line = lines_after(BTC, mark("200"), position("2", "300"), stage=stage)[LINE]
    assert (line.currency, line.net_exposure, line.unrealized_pnl) == ("BTC", D(2), D("0.5"))


def test_a_rate_may_go_through_one_currency_between() -> None:
    stage = portfolio_stage({ACCOUNT: "BTC"})
    bought = position("1", "100", fees={"BNB": D(1)})
    line = lines_after(BTC, BNB, mark("200"), mark("50", "sim:BNB-USDT"), bought, stage=stage)[LINE]
    assert (line.fees, line.complete) == (D("0.25"), True)


def test_without_a_rate_to_the_reporting_currency_nothing_is_valued() -> None:
    line = lines_after(mark("100"), position("2", "100"), stage=portfolio_stage({ACCOUNT: "EUR"}))[LINE]
    assert (line.currency, line.gross_exposure, line.total_pnl, line.complete) == ("EUR", D(0), D(0), False)


def test_marks_of_another_venue_or_of_a_derivative_are_no_rates() -> None:
    bought = position("1", "100", fees={"BNB": D(1)})
    other, perp = definition("kraken:BNB-USDT"), definition("sim:BNB-USDT-PERP", kind="perp")
    marks = (mark("5", "kraken:BNB-USDT"), mark("5", "sim:BNB-USDT-PERP"), mark("100"))
    assert not lines_after(other, perp, *marks, bought)[LINE].complete


def test_the_peak_and_the_drawdown_follow_the_total() -> None:
    seen = []
    folding = Folding(STAGE)
    for event in (mark("100"), position("1", "100"), mark("130"), tick(1), mark("110"), tick(2), mark("125"), tick(3)):
        seen += [line for line in folding.feed(event) if key_of(line) == LINE]
    lines = [line for line in seen if isinstance(line, PortfolioLine)]
    assert [(x.total_pnl, x.peak_pnl, x.drawdown) for x in lines] == [
        (D(0), D(0), D(0)),
        (D(30), D(30), D(0)),
        (D(10), D(30), D(20)),
        (D(25), D(30), D(5)),
    ]


def test_a_total_that_lacks_a_part_makes_no_peak() -> None:
    line = lines_after(mark("130"), position("1", "100", fees={"BNB": D(50)}))[LINE]
    assert (line.complete, line.total_pnl, line.peak_pnl, line.drawdown) == (False, D(30), D(0), D(0))


def test_a_loss_from_the_start_is_a_drawdown_from_nothing() -> None:
    line = lines_after(mark("90"), position("1", "100"))[LINE]
    assert (line.peak_pnl, line.drawdown) == (D(0), D(10))


def test_marks_are_told_at_most_once_a_second_of_the_ticks_time() -> None:
    folding = Folding(STAGE)
    folding.feed(mark("100"))
    folding.feed(position("1", "100"))
    told = []
    for n in range(1, 40):
        folding.feed(mark(str(100 + n)))
        if folding.feed(tick(n / 10, n)):
            told.append(n)
    assert told == [1, 11, 21, 31]


def test_a_tick_tells_only_lines_that_changed() -> None:
    eth = position("1", "10", instrument="sim:ETH-USDT", strategy="trend", base="ETH")
    events = [mark("100"), mark("10", "sim:ETH-USDT"), position("1", "100"), eth, tick(1)]
    folding = Folding(STAGE)
    for event in events:
        folding.feed(event)
    assert folding.feed(tick(2)) == []
    folding.feed(mark("11", "sim:ETH-USDT"))
    told = [key_of(line) for line in folding.feed(tick(3))]
    assert told == [(ACCOUNT, "trend", "sim:ETH-USDT"), (ACCOUNT, "trend", ""), WHOLE]


def test_balances_and_controls_pass_by() -> None:
    balance = {"free": D(1), "locked": D(0), "reason": "snapshot", "ts_event": T0, "ts_init": T0}
    passing = [
        BalanceChanged(account=ACCOUNT, currency="BTC", **balance),
        InForce(scope=FIRM, control_id="k", who="ada", why="x", ts_init=T0),
    ]
    assert run(STAGE, [mark("100"), position("1", "100"), *passing, *passing]) == run(
        STAGE, [mark("100"), position("1", "100")]
    )


@st.composite
def inboxes(draw: st.DrawFn) -> list[Record]:
    instruments = ("sim:BTC-USDT", "sim:ETH-USDT", "sim:ETH-BTC")
    amounts = st.sampled_from(("0", "1", "2.5", "-3", "0.001"))
    prices = st.sampled_from(("100", "0.05", "64000.12", "7"))

    def a_position(instrument: str, strategy: str, qty: str, value: str, fee: str) -> PositionChanged:
        base, quote = instrument.partition(":")[2].split("-")
        fees = {"BNB": D(fee), quote: D(fee)}
        return position(qty, value, instrument=instrument, strategy=strategy, base=base, quote=quote, fees=fees)

    instrument = st.sampled_from(instruments)
    strategies = st.sampled_from(("quoter", "trend"))
    event = st.one_of(
        st.builds(a_position, instrument, strategies, amounts, prices, amounts),
        st.builds(mark, prices, st.sampled_from((*instruments, "sim:BNB-USDT"))),
        st.builds(definition, st.sampled_from((*instruments, "sim:BNB-USDT"))),
    )
    drawn = draw(st.lists(event, max_size=15))
    return [e for n, x in enumerate(drawn) for e in (x, tick(n * draw(st.sampled_from((0.1, 0.7)))))]


@given(inboxes())
def test_lines_add_up_to_their_sums_and_realized_and_unrealized_to_the_total(events: list[Record]) -> None:
    events = [*events, mark("99"), tick(1000)]
    last = lines_after(*events)
    leaves = [line for key, line in last.items() if key[2]]
    for key, line in last.items():
        earned = Fraction(line.realized_pnl) + Fraction(line.unrealized_pnl)
        assert Fraction(line.total_pnl) == earned - Fraction(line.fees)
        assert line.drawdown >= 0
        if key[2] == "" and key[1]:
            parts = [x for x in leaves if x.strategy == key[1]]
            assert Fraction(line.gross_exposure) == sum((Fraction(x.gross_exposure) for x in parts), Fraction(0))
            assert line.complete == all(x.complete for x in parts)


@given(inboxes())
def test_delivering_each_event_twice_says_nothing_new(events: list[Record]) -> None:
    assert fold(STAGE, [event for event in events for _ in range(2)]) == fold(STAGE, events)


@given(inboxes())
def test_delivering_the_end_again_leaves_the_same_lines(events: list[Record]) -> None:
    settle = [tick(1000), mark("1", "sim:nothing"), tick(2000)]
    once, again = lines_after(*events, *settle), lines_after(*doubled(events), *settle)

    def worth(lines: dict[tuple[str, str, str], PortfolioLine]) -> dict[tuple[str, str, str], PortfolioLine]:
        plain = {"ts_init": 0, "peak_pnl": D(0), "drawdown": D(0)}
        return {key: msgspec.structs.replace(line, **plain) for key, line in lines.items()}

    assert worth(once) == worth(again)


@given(inboxes(), st.integers(1, 4))
def test_the_stage_folds_the_same_live_or_recoded(events: list[Record], every: int) -> None:
    assert fold(STAGE, events, recode_every=every) == fold(STAGE, events)


@given(inboxes())
def test_lines_go_over_the_wire(events: list[Record]) -> None:
    said = run(STAGE, events)
    assert wire.decode(wire.encode(said), (PortfolioLine,)) == said
