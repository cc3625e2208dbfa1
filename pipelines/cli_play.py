"""`tapedeck play`: a recording served as its venue would, on loopback."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.errors import Problem


def play(
    captures: Annotated[list[Path], typer.Argument(help="Recordings; several are one stream in a row.")],
    venue: Annotated[str, typer.Option(help="Whose, where the recording does not tell.")] = "",
    speed: Annotated[str, typer.Option(help="Times the recorded pace, or 'max'.")] = "1",
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    wait: Annotated[
        bool, typer.Option("--wait-for-start", help="Once there are books, hold until POST /control/start.")
    ] = False,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
) -> None:
    """Serve a recording as the venue itself would, over websockets and REST, until Ctrl-C."""
    from pipelines.player.player import MAX, Player
    from pipelines.player.recording import Recording

    try:
        pace = MAX if speed == "max" else float(speed)
    except ValueError:
        raise Problem(f"--speed {speed}: neither a number nor 'max'") from None
    if not pace > 0:
        raise Problem(f"--speed {speed}: has to be more than 0")

    async def serve() -> None:
        player = Player(Recording(captures, venue), pace, hold=wait)
        await player.start(host, port)
        try:
            line = {"ready": True, "address": player.address, "venue": player.recording.venue}
            told = {"instruments": player.recording.busiest(), "undefined": player.undefined}
            print(json.dumps({**line, **told}), flush=True)
            await player.run()
            print(json.dumps({"ended": True, "sent": player.sent, "unheard": player.unheard}), flush=True)
            await asyncio.Event().wait()
        finally:
            await player.close()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(serve())


def mount(app: typer.Typer) -> None:
    app.command()(play)
