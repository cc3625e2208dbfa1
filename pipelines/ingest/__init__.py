"""ingest: the edge that brings one venue's market data in. ``market.raw`` gets every frame as received,
``ingest.requests`` is answered.

- ``writer`` frames to records: one line when quiet, all that came at once when not
- ``stream`` the websocket connection, opened again whenever it breaks
- ``watched`` the same for a venue that somebody else watches for us
- ``fetcher`` REST snapshots and definitions, one at a time, with back-off
- ``requests`` what normalize asks for
- ``worker`` puts them together
"""

from pipelines.ingest.worker import run_ingest

__all__ = ["run_ingest"]
