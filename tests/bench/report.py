"""`tapedeck report`, the whole command, over an archive of ten million fills, typed as the archive worker keeps it (`infra.typed`).

The archive is generated: records and files as the sink writes them, on four instruments, by seven strategies. By the wall clock, as a
user waits for it; the first of the runs, which may have to compile, does not count.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.console import Console

from infra import archive, typed
from infra.tail import Place
from tests.bench.measure import Row, row
from tests.bench.scene import REPOSITORY, Scene
from topics.catalog import FILLS

COUNT = int(os.environ.get("TAPEDECK_BENCH_FILLS", "10000000"))
PER_FILE, REPETITIONS = 250_000, 3
BASES = ("BTC", "ETH", "SOL", "XRP")
CONFIG = """
[run]
name = "bench"
home = {home!r}
[venues.sim]
adapter = "binance"
"""
START_MS = 1_760_000_000_000
RECORDS = f"""
SELECT $partition::INTEGER AS "partition", i AS "offset", make_timestamp_ms({START_MS} + i) AT TIME ZONE 'UTC' AS "timestamp",
       encode('sim.main|sim:' || $base || '-USDT') AS "key", encode('[' || to_json({{
            'type': 'Fill', 'account': 'sim.main', 'strategy': 's' || i % 7, 'instrument': 'sim:' || $base || '-USDT',
            'client_order_id': 's' || i % 7 || '-' || {START_MS} + i || '-0.' || i || '.0-0',
            'venue_order_id': (1000 + i)::VARCHAR, 'trade_id': ($partition * 100000000 + i)::VARCHAR,
            'side': CASE WHEN h % 2 = 0 THEN 'buy' ELSE 'sell' END,
            'last_qty': qty, 'last_px': px, 'settle': 'USDT', 'value': (qty::DECIMAL(9,5) * px::DECIMAL(9,2))::VARCHAR,
            'fee': '0.' || lpad((h // 11 % 99999999)::VARCHAR, 8, '0'), 'fee_currency': 'USDT',
            'liquidity': CASE WHEN h % 3 = 0 THEN 'taker' ELSE 'maker' END, 'base': $base, 'quote': 'USDT',
            'ts_event': ({START_MS} + i) * 1000000, 'ts_init': ({START_MS} + i) * 1000000 + 700000 + h % 5000000
       }}) || ']') AS "value",
       'orders|bench.orders.events@AAAAAAAAAAAAAAAAAAAAAA/0|' || i || '|' || $partition AS src, '0123456789ab:fedcba987654' AS ver
FROM (SELECT i, (hash(i, $partition) % 1000000007)::BIGINT AS h, '0.' || lpad((1 + h % 99999)::VARCHAR, 5, '0') AS qty,
             60000 + i % 9000 || '.' || lpad((h // 7 % 100)::VARCHAR, 2, '0') AS px FROM range($first, $last) AS numbers(i))
"""


def measure(scene: Scene) -> Iterator[Row]:
    said = Console(stderr=True, highlight=False)
    root = scene.home / "runs" / "bench" / "archive"
    for partition, base in enumerate(BASES):
        began = time.monotonic()
        _generate(root, partition, base)
        while typed.derive(root, FILLS, partition, 1):
            pass
        said.print(f"  {COUNT // len(BASES):,} fills of {base} generated in {time.monotonic() - began:.0f} s")
    config = scene.home / "tapedeck.toml"
    config.write_text(CONFIG.format(home=str(scene.home)))
    _report(scene.home, config)
    took = statistics.median(_report(scene.home, config) for _ in range(REPETITIONS))
    yield row(f"report over {COUNT / 1e6:g}M fills", "s", took, at_most=3, note="the whole command, by the clock")


def _generate(root: Path, partition: int, base: str) -> None:
    share = COUNT // len(BASES)
    schema = archive.SCHEMA.with_metadata({"topic": FILLS.name, "topic_id": "AAAAAAAAAAAAAAAAAAAAAA"})
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for first in range(0, share, PER_FILE):
            last = min(first + PER_FILE, share)
            names = {"partition": partition, "base": base, "first": first, "last": last}
            made = con.sql(RECORDS, params=names).to_arrow_table()
            table = pa.table([made[field.name].cast(field.type) for field in schema], schema=schema)
            archive.put(archive.folder(root, Place(FILLS.name, partition)), first, last, table)


def _report(home: Path, config: Path) -> float:
    """Seconds. The summary must count every fill."""
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "report"]
    compiled = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "TAPEDECK_HOME")}
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--config", str(config), "--out", str(home / "report.html")],
        cwd=REPOSITORY,
        env={**compiled, "PYTHONPYCACHEPREFIX": str(home / "compiled")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode != 0 or f"{COUNT // len(BASES) * len(BASES):,}" not in done.stdout:
        raise RuntimeError(f"the report did not count {COUNT:,} fills: {done.stdout[-400:]} {done.stderr[-400:]}")
    return took
