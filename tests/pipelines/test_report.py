import html.parser
import io
import re
import shutil
import subprocess
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from infra import archive
from infra.duck import open_archive
from infra.errors import Problem
from infra.tail import Place, Taken
from pipelines import report
from pipelines.archive import archive_dir
from pipelines.report_charts import charts
from pipelines.report_data import POINTS, ReportData, read
from tests.pipelines.test_verify_contracts import traded as traded_contracts
from tests.synthetic_run import SyntheticRun, config_of, taken_of
from topics import wire
from topics.orders import Fill
from topics.system import StageStarted


@pytest.fixture(scope="module")
def run() -> SyntheticRun:
    return SyntheticRun()


@pytest.fixture(scope="module")
def home(run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("report")
    run.write_archive(archive_dir(config_of(home, "run")))
    return home


@pytest.fixture(scope="module")
def data(home: Path) -> ReportData:
    with closing(open_archive(archive_dir(config_of(home, "run")))) as con:
        return read(con)


@pytest.fixture(scope="module")
def page(home: Path) -> Path:
    return report.build_report(config_of(home, "run"), home / "report.html", console=Console(file=io.StringIO()))


def test_the_tables_add_up_to_the_fills(data: ReportData, run: SyntheticRun) -> None:
    fills = list(run.events(Fill))
    volume = sum(f.last_qty * f.last_px for f in fills)
    assert sum(row["fills"] for row in data.strategies) == sum(row["fills"] for row in data.instruments) == len(fills)
    assert sum(row["volume"] for row in data.strategies) == sum(row["volume"] for row in data.instruments) == volume
    assert {row["currency"]: row["fee"] for row in data.fees} == {
        currency: sum((f.fee for f in fills if f.fee_currency == currency), Decimal(0))
        for currency in ("BTC", "ETH", "USDT")
    }


def test_orders_denials_and_latencies_are_counted(data: ReportData) -> None:
    by_status = {
        status: sum(r["orders"] for r in data.statuses if r["status"] == status) for status in ("filled", "denied")
    }
    assert by_status == {"filled": 44, "denied": 4}
    assert [(d["check"], d["orders"], d["value"], d["limit"]) for d in data.denials] == [
        ("price_collar", 4, "0.03", "0.02")
    ]
    steps = {row["step"]: row["p50"] for row in data.latencies}
    assert steps["sent → accepted by the venue"] == pytest.approx(2.3)
    assert steps["execution at the venue → known here"] == pytest.approx(0.7)


def test_a_long_run_is_thinned_for_the_charts_and_keeps_its_end(tmp_path: Path) -> None:
    run = SyntheticRun(executions=2 * POINTS)
    with closing(open_archive(run.write_archive(tmp_path / "archive"))) as con:
        data = read(con)
    marks = [row for row in data.prices if row["instrument"] == "sim:BTC-USDT"]
    total = [row for row in data.equity if row["strategy"] == ""]
    assert 0 < len(marks) <= POINTS + 1
    assert 0 < len(total) <= POINTS + 1
    assert total[-1]["pnl"] == pytest.approx(float(sum(run._pnl.values())))


class Links(html.parser.HTMLParser):
    """What a page would load, and how its scripts open."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "data", "poster", "srcset")
        ]


def test_the_page_loads_nothing(page: Path) -> None:
    links = Links()
    links.feed(page.read_text())
    assert links.addresses == []
    styles = "".join(re.findall(r"<style>(.*?)</style>", page.read_text(), re.S))
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_page_draws_every_chart_without_a_network(page: Path, data: ReportData, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium here to look at the page with")
    drawn = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=8000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    ).stdout
    for chart in charts(data):
        start = drawn.index(f'id="{chart.id}"')
        assert 'class="main-svg"' in drawn[start : start + 3000], chart.title


def test_every_chart_names_its_units(data: ReportData) -> None:
    for chart in charts(data):
        layout = msgspec.json.decode(chart.figure)["layout"]
        assert layout["xaxis"]["title"]["text"]
        assert layout["yaxis"]["title"]["text"] or chart.id == "orders"


def test_what_a_record_says_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    config, run = config_of(tmp_path, "run"), SyntheticRun(executions=3)
    root = run.write_archive(archive_dir(config))
    evil = StageStarted(
        stage="</script><script>alert(1)</script>", instance=0, version="1", config="2", schema=1, ts_init=1
    )
    archive.write(
        root, Place("stage.log", 0), [Taken("stage.log", "id", 0, 99, 0, b"", wire.encode([evil]), None, None)]
    )
    fill = next(one for one in run.written if one.topic.name == "fills")
    named = msgspec.structs.replace(fill.events[0], strategy="</script><b>")
    again = taken_of(fill, 500)
    archive.write(root, Place("fills", 0), [Taken(again.topic, "id", 0, 500, 0, b"", wire.encode([named]), None, None)])
    page = report.build_report(config, tmp_path / "r.html", console=Console(file=io.StringIO())).read_text()
    assert "alert(1)</script>" not in page
    assert "</script><b>" not in page


def test_a_run_without_trades_has_a_page_too(tmp_path: Path) -> None:
    config = config_of(tmp_path, "run")
    SyntheticRun(executions=0).write_archive(archive_dir(config))
    text = io.StringIO()
    page = report.build_report(config, tmp_path / "r.html", console=Console(file=text))
    assert "nothing was traded" in page.read_text()
    assert "Executions" in text.getvalue()


def test_without_an_archive_there_is_one_line_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no archive at"):
        report.build_report(config_of(tmp_path, "run"), tmp_path / "r.html")


def test_contracts_are_told_at_their_own_average_prices_and_in_what_they_are_settled_in(tmp_path: Path) -> None:
    made = traded_contracts()
    with closing(open_archive(made.write_archive(tmp_path / "archive"))) as con:
        told = {row["instrument"]: row for row in read(con).instruments}
    for instrument, settle in (("sim:BTC-USD-PERP", "BTC"), ("sim:BTC-USDT-PERP", "USDT")):
        row, fills = told[instrument], [f for f in made.events(Fill) if f.instrument == instrument]
        assert (row["settle"], row["fills"]) == (settle, len(fills))
        assert row["volume"] == sum(abs(f.value) for f in fills)
        for side, at in (("buy", row["bought_at"]), ("sell", row["sold_at"])):
            own = [(float(f.last_qty), float(f.last_px)) for f in fills if f.side == side]
            qty = sum(q for q, _ in own)
            mean = sum(q * px for q, px in own) / qty if settle == "USDT" else qty / sum(q / px for q, px in own)
            assert at == pytest.approx(mean)
