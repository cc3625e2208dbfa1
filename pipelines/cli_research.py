"""`tapedeck backtest`, `replay-stage` and `explain`: what recorded data is good for. Mounted by the command line."""

import signal
import time
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.tree import Tree

from infra import services
from infra.config import Config, ConfigError, check_run_name, find, load
from infra.errors import Hopeless

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration; default: the recorded run's own.")
]
RunOption = Annotated[Path | None, typer.Option("--run", help="Folder of the run; default: the configuration's.")]
LiveOption = Annotated[bool, typer.Option("--live", help="Read the topics from the broker instead of the archive.")]
out = Console(highlight=False, soft_wrap=True)
WIDE = 200
"""Of a tree that is not shown on a terminal."""
err = Console(stderr=True, soft_wrap=True, highlight=False)


def mount(app: typer.Typer) -> None:
    app.command()(backtest)
    app.command("replay-stage")(replay_stage)
    app.command()(explain)


def backtest(
    strategy: Annotated[
        str | None, typer.Argument(help="module:Class, or a name in the configuration; default: all of it.")
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            help="A capture (several are one stream), the folder of a run or its archive, or 'topic': what the configured run has in Kafka.",
        ),
    ] = None,
    config: ConfigOption = None,
    params: Annotated[
        str, typer.Option(help="Parameters of the strategy: key=value,…; or a TOML file; or a JSON object.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of what is drawn: latencies.")] = 0,
    latency: Annotated[
        str,
        typer.Option(
            help="constant:5ms, constant:5ms/8ms (orders/market data), jittered:5ms/2ms, sampled:<run's folder or Parquet file>."
        ),
    ] = "constant:5ms",
    hop: Annotated[str, typer.Option(help="From one of our workers to the next.")] = "2ms",
    fees: Annotated[str, typer.Option(help="Rates.")] = "maker=0.001,taker=0.001",
    queue: Annotated[
        str, typer.Option(help="Who cancels ahead of us: risk-averse (nobody), power, power:<n>, log.")
    ] = "risk-averse",
    balance: Annotated[list[str] | None, typer.Option(help="Opening balance, as USDT=10000; default: plenty.")] = None,
    name: Annotated[str, typer.Option(help="Of the run; default: backtest and the time.")] = "",
    show_report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report's page.")] = True,
    sweep: Annotated[
        str | None,
        typer.Option(help="A grid of parameters, each point a run: 'spread=1,2,3 hold=5:20:5' (first:last:step)."),
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Of a sweep, at a time; default: one per core.")] = None,
) -> None:
    """Run strategies over recorded market data in this process: the same stages and checks, the exchange's matching core."""
    from pipelines import backtest_options as options
    from pipelines.backtest import Settings

    if not source:
        raise Hopeless("name what to run over: --from <capture>, --from <folder of a run> or --from topic")
    maker, taker = options.rates(fees)
    settings = Settings(
        seed=seed,
        hop_ns=options.nanoseconds(hop),
        maker=maker,
        taker=taker,
        balances=dict(options.balance(one) for one in balance or ()),
        queue=options.queue(queue),
    )
    settings = options.with_latency(settings, latency)
    run_name = name or datetime.now(UTC).strftime("backtest-%Y%m%d-%H%M%S")
    check_run_name(run_name)
    given = options.params(params)
    if sweep is not None:
        _sweep(config, strategy, source, given, options.grid(sweep), settings, run_name, processes)
    else:
        _one_backtest(config, strategy, source, given, settings, run_name, show_report)


def _one_backtest(
    config: Path | None,
    strategy: str | None,
    source: list[Path],
    params: dict[str, Any],
    settings: Any,
    name: str,
    show_report: bool,
) -> None:
    from pipelines.backtest_plan import plan
    from pipelines.backtest_run import run_backtest

    planned = plan(config, strategy, source, params, name, services.default_home())
    began = time.monotonic()
    with _Interrupt() as interrupt, _progress() as bar:
        task = bar.add_task("backtest", total=1.0)
        counts = run_backtest(
            planned.config,
            planned.source,
            settings,
            lambda share: bar.update(task, completed=share),
            lambda: interrupt.requested,
        )
    took = time.monotonic() - began
    err.print(f"{counts.arrivals:,} recorded and {counts.records:,} written records in {took:.1f} s")
    _tell_flaws(planned.source, counts.unreadable)
    if interrupt.requested:
        err.print(
            f"ended early, at {datetime.fromtimestamp(counts.until / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC of the input"
        )
    if show_report:
        from pipelines.report import build_report

        err.print(f"report: {build_report(planned.config, planned.config.run_dir / 'report.html')}")
    err.print(f"run: {planned.config.run_dir}")
    raise typer.Exit(128 + signal.SIGINT if interrupt.requested else 0)


def _tell_flaws(source: Any, unreadable: int = 0) -> None:
    """A run's own records are sound but for the unreadable ones."""
    from pipelines.backtest_flaws import Flaws

    if told := getattr(source, "flaws", Flaws()).told(unreadable):
        err.print(f"[yellow]{told}[/yellow]")


def _sweep(
    config: Path | None,
    strategy: str | None,
    source: list[Path],
    params: dict[str, Any],
    points: list[dict[str, str]],
    settings: Any,
    name: str,
    processes: int | None,
) -> None:
    from pipelines import backtest_sweep_page as page
    from pipelines.backtest_plan import TOPIC, Unusable, plan
    from pipelines.backtest_sweep import Done, Input, planned_jobs, refused, sweep

    if strategy is None:
        raise Hopeless("--sweep is of one strategy's parameters: name it")
    if list(map(str, source)) == [TOPIC]:
        raise Hopeless("--sweep reads its input once per process: name the run's folder, for its archive")
    home = services.default_home()
    try:
        planned = plan(config, strategy, source, {**params, **points[0]}, name, home)
    except Unusable as error:
        raise refused(points[0], error) from error
    jobs = planned_jobs(points, lambda point: planned.again(strategy, {**params, **point}))
    folder, done = planned.config.run_dir, list[Done]()
    table = page.Table(folder / "sweep.duckdb", points)
    with closing(table), _Interrupt() as interrupt, _progress() as bar:
        task = bar.add_task("sweep", total=len(jobs))
        given = Input(source, planned.venue, planned.venues)
        with closing(sweep(jobs, given, settings, processes, lambda: interrupt.requested)) as results:
            for one in results:
                table.add(one)
                done.append(one)
                bar.update(task, completed=len(done))
    _tell_flaws(planned.source)
    text = page.render(name, strategy, planned.source.name, settings.seed, len(jobs), done)
    (folder / "sweep.html").write_text(text)
    for one in done:
        if one.error:
            err.print(f"[yellow]broke:[/yellow] {escape(str(dict(one.point)))}: {escape(one.error)}")
    err.print(f"{len(done)} of {len(jobs)} runs{', ended early' if interrupt.requested else ''}")
    err.print(f"table: {folder / 'sweep.duckdb'}\npage: {folder / 'sweep.html'}")
    raise typer.Exit(128 + signal.SIGINT if interrupt.requested else 0)


def replay_stage(
    stage: Annotated[
        str | None, typer.Argument(help="A stage such as orders or intents/quoter, or gateway/<account>.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every stage, and the gateways' decisions.")] = False,
    first: Annotated[int, typer.Option("--from", help="Compare outputs of input offsets from here on.")] = 0,
    end: Annotated[int | None, typer.Option("--to", help="Compare up to this input offset, excluded.")] = None,
    run: RunOption = None,
    config: ConfigOption = None,
    live: LiveOption = False,
    recode: Annotated[
        int | None,
        typer.Option("--recode-every", "--recode", help="Encode and decode the state after every so many events."),
    ] = None,
    software: Annotated[
        Path | None, typer.Option("--with", help="Another checkout: list what its code would have decided otherwise.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="Other parameters, as quoter.order_qty=0.3: list what they would have changed."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Other limits, as firm.max_order_value=100: list what they would have changed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list of differing decisions as JSON.")] = False,
) -> None:
    """Fold a stage's recorded input again and compare what comes out, byte by byte; exit code 1 on any difference.

    With --with, --param or --limit (or the --config of another configuration beside --run) it lists the decisions that
    would have been others, and exits with 0.
    """
    from pipelines.replay import Range
    from pipelines.replay_all import covered, not_covered, replay_one

    if (stage is None) == (not every):
        raise Hopeless("name one stage, or --all")
    if recode is not None and recode < 1:
        raise Hopeless("--recode-every is a number of events, at least 1")
    if first < 0 or (end is not None and end <= first):
        raise Hopeless(f"no input lies{_asked(first, end)}: --from is an offset, 0 or more, and --to one behind it")
    loaded, recorded, run_dir = _recorded(run, config, live)
    names = covered(loaded) if every else [str(stage)]
    if software or param or limit or _is_other(run, config):
        from pipelines.cli_what_if import what_if

        raw = raw_config(config or run)
        what_if(names, recorded, run_dir, raw, param or (), limit or (), software, Range(first, end), as_json)
        return
    results = []
    for one in names:
        results.append(replay_one(one, loaded, recorded, run_dir, within=Range(first, end), recode_every=recode))
        _print_replayed(results[-1])
    if every:
        out.print(f"[dim]not replayed, being edges: {', '.join(not_covered(loaded))}[/dim]")
    if any(result.difference is not None for result in results):
        raise typer.Exit(1)
    if not any(result.chosen for result in results):
        raise Hopeless(f"nothing to replay: no recorded input of {'these' if every else names[0]}{_asked(first, end)}")


def _asked(first: int, end: int | None) -> str:
    if not first and end is None:
        return ""
    return f" from offset {first}" + ("" if end is None else f" to {end}")


def explain(
    order: Annotated[str, typer.Argument(help="A client order id.")],
    run: RunOption = None,
    config: ConfigOption = None,
    live: LiveOption = False,
) -> None:
    """Why an order was sent: from its executions back to the frames that caused it, by coordinates."""
    from pipelines.explain import Node
    from pipelines.explain import explain as tree_of

    _, recorded, _ = _recorded(run, config, live)

    def grow(tree: Tree, node: Node) -> None:
        for cause in node.causes:
            grow(tree.add(_label(cause)), cause)

    found = tree_of(recorded, order)
    tree = Tree(_label(found))
    grow(tree, found)
    shown = Console(highlight=False, width=None if out.is_terminal else WIDE)
    shown.print(tree, no_wrap=True, overflow="ellipsis")


def _later(ns: int) -> str:
    """Processes date what they write by themselves: what came of something may be dated before it."""
    return f"+{ns / 1e6:.3f} ms" if ns >= 0 else f"{-ns / 1e6:.3f} ms before"


def _label(node: Any) -> str:
    """Title, place, time, and how long after what it came from."""
    at = f" {datetime.fromtimestamp(node.ts / 1e9, UTC):%H:%M:%S.%f}" if node.ts else ""
    took = f" [green]{_later(node.ts - node.after)}[/green]" if node.ts and node.after else ""
    where = f" [cyan]{escape(node.where)}[/cyan]" if node.where else ""
    detail = f" [dim]{escape(node.detail)}[/dim]" if node.detail else ""
    return f"[bold]{escape(node.title)}[/bold]{where}{at}{took}{detail}"


# --- what is asked, in the types that do it --------------------------------------------------------------------------


def _is_other(run: Path | None, config: Path | None) -> bool:
    """Whether a configuration is named beside a run that has its own, which says something else."""
    own = None if run is None else run / "tapedeck.toml"
    return own is not None and own.exists() and config is not None and load(own).digest() != load(config).digest()


def raw_config(path: Path | None) -> dict[str, Any]:
    """The tables of a file, of a run's own one, or of what is found."""
    chosen = find() if path is None else path / "tapedeck.toml" if path.is_dir() else path
    return tomllib.loads(chosen.read_text())


def _recorded(run: Path | None, config: Path | None, live: bool) -> tuple[Config, Any, Path]:
    """The configuration, its recorded topics, and the run's folder."""
    from pipelines.archive_reader import archive_of
    from pipelines.recorded_run import ArchivedRun, LiveRun, is_up

    own = None if run is None else run / "tapedeck.toml"
    if config is None and own is not None and not own.exists():
        raise ConfigError(f"{run} holds no tapedeck.toml: name the run's configuration with --config")
    loaded = load(config or own)
    run_dir = loaded.run_dir if run is None else run
    if not live and is_up(run_dir, time.time_ns()):
        err.print(f"{loaded.run.name} is up, its archive still growing: reading its topics")
        live = True
    if not live:
        return loaded, ArchivedRun(archive_of(run_dir)), run_dir
    found = services.endpoints(loaded.home)
    if found is None:
        raise services.ServiceError(
            f"Kafka or Postgres is down in {loaded.home}: start them with 'tapedeck services up'"
        )
    return loaded, LiveRun(found.kafka, loaded.prefix), run_dir


def _print_replayed(result: Any) -> None:
    line = f"{result.stage}: "
    beyond = f", {result.beyond:,} beyond what it had taken" if result.beyond else ""
    repeated = f", {result.repeated:,} delivered again" if result.repeated else ""
    if result.difference is None and not result.chosen:
        before = f", {result.inputs:,} inputs before the range" if result.inputs else ""
        out.print(f"{line}nothing to replay{before}")
    elif result.difference is None:
        out.print(f"{line}[green]equal[/green], {result.equal:,} records of {result.inputs:,} inputs{beyond}{repeated}")
    else:
        d = result.difference
        out.print(f"{line}[bold red]DIFFERS[/bold red]: {escape(d.what)}, after {result.equal:,} equal records")
        out.print(f"  coordinate {escape(d.coordinate)}")
        if d.place is not None:
            out.print(f"  recorded at {d.place.topic}/{d.place.partition}@{d.place.offset}")
        if d.recorded is not None or d.replayed is not None:
            _print_side("recorded", d.recorded)
            _print_side("replayed", d.replayed)
    if result.begun:
        places = ", ".join(f"{offset} of partition {p}" for p, offset in sorted(result.begun.items()))
        out.print(f"  [dim]begun at snapshots: {places}[/dim]")
    if len(result.segments) > 1:
        _print_segments(result)
    for note in result.notes:
        out.print(f"  [yellow]{escape(note)}[/yellow]")


def _print_segments(result: Any) -> None:
    for one in result.segments.values():
        said = "equal" if one.difference is None else f"DIFFERS first at {escape(one.difference.coordinate)}"
        out.print(
            f"  written by {escape(one.version) or 'a version that is not told'}: {said}, {one.equal:,} equal records"
        )


def _print_side(name: str, side: Any) -> None:
    if side is None:
        out.print(f"  {name}: nothing")
    else:
        out.print(f"  {name}: {side.topic} {escape(repr(side.key))} {escape(side.value.decode(errors='replace'))}")


class _Interrupt:
    """The first Ctrl-C ends the input, so that what was done is whole; the second one ends the process."""

    requested = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)
