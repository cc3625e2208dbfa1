"""The process ``paper/<venue>``: the simulated exchange with the venue's own market in it, for all paper accounts of the venue.

It begins once every instrument of the venue is defined on the tape. Its ledger is on disk, so that a killed one goes on: at
the same address, with the same orders and balances.
"""

import asyncio
import json
import logging
import os

from adapters.simulated.resume import ResumeError
from adapters.simulated.server import Account as Customer
from adapters.simulated.server import Settings, run
from adapters.simulated.settlement import Fees
from adapters.simulated.units import units
from adapters.simulated.venue import Venue as Exchange
from infra import kafka
from infra.config import Config
from infra.errors import Hopeless
from infra.metrics import Exposition
from pipelines.edge_process import keep_status
from pipelines.paper import place
from pipelines.paper.listing import listing, opening
from pipelines.paper.market import ONE_COUNT, TapeMarket
from topics.catalog import INSTRUMENTS_LATEST
from topics.market import Instrument
from topics.record import Account, InstrumentId, Venue

log = logging.getLogger("tapedeck.paper")

LOOK_S = 0.5


async def run_paper(
    config: Config, conf: kafka.KafkaConf, venue: Venue, stop: asyncio.Event, exposition: Exposition | None = None
) -> None:
    """Until ``stop``. Hopeless where the ledger of before is of other instruments."""
    paper = Paper(config, conf, venue)
    status = config.run_dir / "status" / f"paper.{venue}.json"
    telling = asyncio.create_task(keep_status(status, paper.status))
    try:
        definitions = await paper.defined(stop)
        if not stop.is_set():
            await paper.serve(definitions, stop)
    except ResumeError as error:
        raise Hopeless(f"paper/{venue}: {error}: use another run name") from None
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


class Paper:
    def __init__(self, config: Config, conf: kafka.KafkaConf, venue: Venue) -> None:
        self._config, self._conf, self._venue = config, conf, venue
        self._accounts: list[Account] = config.paper_accounts(venue)
        self._wanted = frozenset(config.instruments_of(venue))
        self._market: TapeMarket | None = None
        self._exchange: Exchange | None = None
        self._ready = False
        self.problem = ""

    async def defined(self, stop: asyncio.Event) -> list[Instrument]:
        """Every definition that is wanted, as soon as they are all there."""
        while not stop.is_set():
            latest = await asyncio.to_thread(kafka.latest, self._conf, self._config.prefix, INSTRUMENTS_LATEST)
            found = {i.instrument: i for i in latest if isinstance(i, Instrument) and i.instrument in self._wanted}
            missing = sorted(self._wanted - found.keys())
            self.problem = f"no definition of {', '.join(missing)} yet" if missing else ""
            if not missing:
                return [found[name] for name in sorted(found)]
            await asyncio.sleep(LOOK_S)
        return []

    async def serve(self, definitions: list[Instrument], stop: asyncio.Event) -> None:
        config, venue = self._config, self._venue
        listings = tuple(listing(i) for i in definitions)
        symbols: dict[InstrumentId, str] = {
            i.instrument: one.symbol for i, one in zip(definitions, listings, strict=True)
        }
        folder, before = place.folder_of(config, venue), place.kept(config, venue)
        folder.mkdir(parents=True, exist_ok=True)
        keys = place.keys_for(self._accounts, before)
        settings = Settings(
            folder=folder,
            instruments=listings,
            accounts=tuple(Customer(a.partition(".")[2], *keys[a]) for a in self._accounts),
            balances=opening(listings, config.paper.balances),
            recorded=tuple(symbols.values()),
            port=0 if before is None else int(before.address.rpartition(":")[2]),
            fees=Fees(maker=units(config.paper.maker_fee), taker=units(config.paper.taker_fee)),
            weight_limit=0,
            order_limit=0,
            resume=(folder / "ledger.jsonl").exists(),
        )

        def serving() -> None:
            place.write(config, venue, place.Place(served_at(settings), keys, os.getpid()))
            self._ready = True
            log.info("paper/%s: trades %s", venue, ", ".join(symbols))

        def market(settings: Settings, exchange: Exchange) -> TapeMarket:
            self._exchange = exchange
            one_count = config.venues[venue].adapter in ONE_COUNT
            self._market = TapeMarket(exchange, self._conf, config.prefix, symbols, serving, one_count)
            return self._market

        await run(settings, stop, market)

    def status(self) -> dict[str, object]:
        return {
            "stage": f"paper/{self._venue}",
            "ready": self._ready,
            "records_out": 0 if self._exchange is None else self._exchange.counts["executions"],
            "events_in": 0 if self._market is None else self._market.progress.played,
            "dead_letters": 0 if self._market is None else self._market.unreadable,
            "problem": self.problem,
        }


def served_at(settings: Settings) -> str:
    ready = json.loads((settings.folder / "ready.json").read_bytes())
    return f"{ready['host']}:{ready['port']}"
