"""The exchange's own ledger as figures of our accounts."""

from pathlib import Path

from adapters.simulated.ledger import Ledger, read_ledger
from adapters.simulated.units import decimal
from infra.config import Config
from infra.errors import Problem
from pipelines.contracts import value
from pipelines.exact import EXACT, ZERO, localcontext
from pipelines.figures import Execution, ExecutionId, Source
from pipelines.ledger_chain import broken_lines
from topics.record import Account, Payoff, venue_of


def from_ledger(path: Path, config: Config) -> Source:
    """Figures of our accounts; Problem when there is no ledger, or none of our accounts in it."""
    try:
        ledger = read_ledger(path)
    except FileNotFoundError:
        raise Problem(
            f"no ledger of the exchange at {path}: name it with --ledger FILE (a venue that keeps none: --without-ledger)"
        ) from None
    names = ledger_accounts(ledger, config)
    source = Source("ledger", frozenset(names))
    source.problems += [f"ledger: {line}" for line in [*ledger.differences(), *broken_lines(path)]]
    with localcontext(EXACT):
        for account, theirs in names.items():
            _ledger_executions(source, ledger, account, theirs)
            _ledger_balances(source, ledger, account, theirs)
    return source


def ledger_accounts(ledger: Ledger, config: Config) -> dict[Account, str]:
    """Our accounts to the ledger's: by the name after the venue's, or the only one there is."""
    theirs = {account for account, _ in [*ledger.balances, *ledger.deposits]}
    found = {ours: name for ours in config.accounts if (name := ours.partition(".")[2]) in theirs}
    if not found and len(theirs) == len(config.accounts) == 1:
        found = {next(iter(config.accounts)): theirs.pop()}
    if not found:
        raise Problem(
            f"none of the accounts {', '.join(config.accounts)} is in the ledger, which has {', '.join(sorted(theirs))}"
        )
    return found


def _ledger_executions(source: Source, ledger: Ledger, account: Account, theirs: str) -> None:
    for one in (e for e in ledger.executions if e.account == theirs):
        terms = ledger.terms[one.symbol]
        instrument = f"{venue_of(account)}:{terms.base}-{terms.quote}"
        worth = value(Payoff(terms.payoff), decimal(terms.multiplier), one.qty, one.price)
        source.put_execution(
            ExecutionId(account, instrument, str(one.order_id), str(one.trade_id), False),
            Execution(one.side.lower(), one.qty, one.price, one.fee, one.fee_asset, "maker" if one.maker else "taker"),
        )
        buys = one.side == "BUY"
        bought, sold = (one.qty, ZERO) if buys else (ZERO, one.qty)
        paid, got = (worth, ZERO) if buys else (ZERO, worth)
        for prefix in ("", "positions: "):
            source.add_sums(account, instrument, prefix, (1, bought, sold, bought - sold, paid, got))
            source.add(account, instrument, f"{prefix}fees {one.fee_asset}", one.fee)


def _ledger_balances(source: Source, ledger: Ledger, account: Account, theirs: str) -> None:
    for (owner, currency), holding in ledger.balances.items():
        if owner == theirs:
            source.add(account, "", f"balance {currency}", holding.total)
    for (owner, currency), amount in ledger.expected().items():
        if owner == theirs:
            source.add(account, "", f"opening + flows {currency}", amount)
