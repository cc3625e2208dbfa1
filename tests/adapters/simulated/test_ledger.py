"""The ledger: what is written adds up to the balances, and a reader sees it while it is being written."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from adapters.simulated.core import Core
from adapters.simulated.ledger import read_ledger
from adapters.simulated.ledger_writer import LedgerExists, LedgerWriter
from adapters.simulated.settlement import Fees
from adapters.simulated.units import SCALE, decimal
from tests.adapters.simulated.builders import BUY, INSTRUMENT, SELL, SYMBOL, order
from tests.adapters.simulated.test_core_properties import ACCOUNTS, POOR, Step, carry_out, histories

FEES = Fees(maker=SCALE // 1000, taker=SCALE // 500)


def write(path: Path, history: list[Step]) -> Core:
    """Carry a history out and write it down."""
    core, writer = Core([INSTRUMENT], fees=FEES), LedgerWriter(path)
    writer.open_with(core.instruments.values())
    for account in ACCOUNTS:
        writer.append(core.open_account(1, account, POOR))
    for now, step in enumerate(history):
        writer.append(carry_out(core, now, step))
    writer.close()
    return core


@given(histories)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_the_ledger_sums_to_the_accounts_balances(tmp_path: Path, history: list[Step]) -> None:
    path = tmp_path / f"{os.urandom(6).hex()}.jsonl"
    core, ledger = write(path, history), read_ledger(path)
    assert ledger.differences() == []
    for account in ACCOUNTS:
        for asset, balance in core.balances(account).items():
            written = ledger.balances[account, asset]
            assert (written.free, written.locked) == (decimal(balance.free), decimal(balance.locked))
        executions = [one for one in ledger.executions if one.account == account]
        assert [one.trade_id for one in executions] == [one.trade_id for one in core.executions(account, SYMBOL)]
        for one in core.all_orders(account, SYMBOL):
            assert ledger.orders[account, one.order_id]["status"] == one.status


def test_positions_and_fees_are_per_account(tmp_path: Path) -> None:
    history: list[Step] = [order("ann", SELL, 2, 100), order("bob", BUY, 2, 100)]
    write(tmp_path / "ledger.jsonl", history)
    ledger = read_ledger(tmp_path / "ledger.jsonl")
    assert ledger.positions == {("bob", SYMBOL): Decimal(2), ("ann", SYMBOL): Decimal(-2)}
    assert ledger.fees == {("bob", "BTC"): Decimal("0.004"), ("ann", "USDT"): Decimal("0.2")}
    assert ledger.openings["ann", "BTC"] == Decimal(30)


def test_a_changed_amount_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, [order("ann", SELL, 2, 100), order("bob", BUY, 2, 100)])
    text = path.read_text()
    assert '"quote_qty":"200.00000000"' in text
    path.write_text(text.replace('"quote_qty":"200.00000000"', '"quote_qty":"201.00000000"', 1))
    assert len(read_ledger(path).differences()) == 1


def test_a_missing_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, [order("ann", SELL, 2, 100)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    with pytest.raises(ValueError, match="sequence number"):
        read_ledger(path)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, [order("ann", SELL, 2, 100)])
    whole = read_ledger(path)
    with path.open("ab") as file:
        file.write(b'{"seq":99,"type":"bal')
    assert read_ledger(path) == whole


def test_a_ledger_is_never_written_over(tmp_path: Path) -> None:
    LedgerWriter(tmp_path / "ledger.jsonl").close()
    with pytest.raises(LedgerExists):
        LedgerWriter(tmp_path / "ledger.jsonl")


async def test_what_waits_for_the_ledger_follows_its_lines_in_order(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    writer, core, seen = LedgerWriter(path), Core([INSTRUMENT]), list[tuple[str, int]]()

    def look(name: str) -> None:
        seen.append((name, len(path.read_bytes().splitlines())))

    writer.append(core.open_account(1, "ann", {"BTC": SCALE}))
    writer.when_durable(lambda: look("first"))
    writer.append(core.deposit(2, "ann", "BTC", SCALE))
    writer.when_durable(lambda: look("second"))
    await asyncio.wait_for(writer.durable(), 5)
    assert [name for name, _ in seen] == ["first", "second"]
    assert seen[0][1] >= 2
    assert seen[1][1] == 4
    writer.close()


async def test_a_failed_write_is_said_and_answers_no_more(tmp_path: Path) -> None:
    writer, core, called = LedgerWriter(tmp_path / "ledger.jsonl"), Core([INSTRUMENT]), list[bool]()
    os.dup2(os.open(os.devnull, os.O_RDONLY), writer._file)
    writer.append(core.open_account(1, "ann", {"BTC": SCALE}))
    writer.when_durable(lambda: called.append(True))
    await asyncio.wait_for(writer.failed.wait(), 5)
    assert isinstance(writer.failure, OSError)
    assert called == []
