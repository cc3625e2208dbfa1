"""`tapedeck watch`: Prometheus on this machine, for the run that is up."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.config import load


def watch(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration; default: the current run's.")
    ] = None,
    port: Annotated[int, typer.Option(help="Where Prometheus listens, on 127.0.0.1.")] = 9090,
) -> None:
    """Run Prometheus for this run in the foreground, with our alerts, until Ctrl-C (needs 'prometheus' on the PATH)."""
    from infra.prometheus import Prometheus

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Prometheus(load(config).run_dir, port) as prometheus:
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"Prometheus: {prometheus.url} (alerts: {prometheus.url}/alerts); Ctrl-C stops it"
        )
        raise typer.Exit(prometheus.wait())


def mount(app: typer.Typer) -> None:
    app.command()(watch)
