"""Whether each line of the exchange's ledger follows from those before it, so that one altered line is found wherever it stands."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson


def broken_lines(path: Path) -> list[str]:
    """Lines whose balance or executed quantity is not what deposits and executions before them add up to."""
    return list(_Chain().read(path))


class _Chain:
    """`due` is what an account holds of an asset, `executed` what an order has executed, as of the line being read."""

    def __init__(self) -> None:
        self._assets: dict[str, tuple[str, str]] = {}
        self._due: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._executed: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)

    def read(self, path: Path) -> Iterator[str]:
        for raw in path.read_bytes().rpartition(b"\n")[0].splitlines():
            line = orjson.loads(raw)
            problem = self._fold(line)
            if problem:
                yield f"line {line['seq']}: {problem}"

    def _fold(self, line: dict[str, Any]) -> str:
        match line["type"]:
            case "ledger":
                self._assets = {one["symbol"]: (one["base"], one["quote"]) for one in line["symbols"]}
            case "deposit":
                self._due[line["account"], line["asset"]] += Decimal(line["amount"])
            case "execution":
                self._execute(line)
            case "balance":
                return self._balance(line)
            case "order":
                return self._order(line)
        return ""

    def _execute(self, line: dict[str, Any]) -> None:
        base, quote = self._assets[line["symbol"]]
        sign = 1 if line["side"] == "BUY" else -1
        self._due[line["account"], base] += sign * Decimal(line["qty"])
        self._due[line["account"], quote] -= sign * Decimal(line["quote_qty"])
        self._due[line["account"], line["fee_asset"]] -= Decimal(line["fee"])
        self._executed[line["account"], line["order_id"]] += Decimal(line["qty"])

    def _balance(self, line: dict[str, Any]) -> str:
        held, due = Decimal(line["free"]) + Decimal(line["locked"]), self._due[line["account"], line["asset"]]
        return "" if held == due else f"{line['account']} holds {held} {line['asset']}, {due} due"

    def _order(self, line: dict[str, Any]) -> str:
        """A trade's order line stands before the execution itself."""
        if line["event"] == "TRADE":
            return ""
        executed, due = Decimal(line["executed_qty"]), self._executed[line["account"], line["order_id"]]
        return "" if executed == due else f"order {line['order_id']} has executed {executed}, {due} due"
