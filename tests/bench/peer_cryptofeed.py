"""Run by a Python that has cryptofeed 2.4.1: ``peer_cryptofeed.py INPUT`` with INPUT a JSON object
``{"exchange", "config", "answers": [[url, body]], "urls": {connection: url}, "frames": [[connection, ts, text]]}``.

For every line of stdin one pass over the frames by a new feed, with its checksums on; only its handler is timed. Prints an
object a pass: ``{"frames", "cpu_s", "books", "trades", "failed"}``; ``failed`` are frames that its handler raised at.
"""

import asyncio
import gc
import json
import logging
import sys
import time

import cryptofeed.exchanges.coinbase
from cryptofeed.connection import HTTPAsyncConn, HTTPSync
from cryptofeed.defines import L2_BOOK, TRADES
from cryptofeed.exchanges import EXCHANGE_MAP
from cryptofeed.symbols import Symbols
from yapic import json as yapic

cryptofeed.exchanges.coinbase.get_private_parameters = lambda *_: {}  # it signs its subscriptions; there is no key


class Connection:
    conn_type = "wss"
    raw_data_callback = None

    def __init__(self, uuid, address, subscription, answers):
        self.uuid, self.address, self.subscription, self._answers = uuid, address, subscription, answers

    async def write(self, *_, **__):
        pass

    async def read(self, url, **_):
        return self._answers[url]


async def one(given):
    answers = dict(given["answers"])

    def found(url):
        """By the whole URL, else by its path's end: a venue has moved some."""
        end = url.partition("?")[0].rpartition("/")[2]
        near = (body for known, body in answers.items() if known.partition("?")[0].rpartition("/")[2] == end)
        return answers[url] if url in answers else next(near)

    async def read(_, url, **__):
        return found(url)

    def read_at_once(_, url, json=False, **__):
        return yapic.loads(found(url)) if json else found(url)

    HTTPAsyncConn.read, HTTPSync.read = read, read_at_once
    Symbols.clear()
    counts = {"books": 0, "trades": 0, "failed": 0}

    async def book(*_):
        counts["books"] += 1

    async def trade(*_):
        counts["trades"] += 1

    async def other(*_):
        pass

    made = EXCHANGE_MAP[given["exchange"]]
    wanted = {channel: symbols for channel, symbols in given["config"].items() if channel in made.websocket_channels}
    callbacks = {channel: {L2_BOOK: book, TRADES: trade}.get(channel, other) for channel in wanted}
    feed = made(candle_closed_only=False, checksum_validation=True, subscription=wanted, callbacks=callbacks)
    handlers = []
    for conn, subscribe, handler, _ in feed.connect():
        address = conn.address if isinstance(conn.address, str) else ""
        recorded = Connection(conn.uuid, address, conn.subscription, answers)
        await subscribe(recorded)
        handlers.append((address, handler, recorded))
    calls = []
    for name, ts, text in given["frames"]:
        url = given["urls"].get(name, "")
        at = next((i for i, (address, _, _) in enumerate(handlers) if address and url.startswith(address)), 0)
        calls.append((*handlers[at][1:], text, ts))
    gc.collect()
    began = time.process_time()
    for handler, conn, text, ts in calls:
        try:
            await handler(text, conn, ts)
        except (KeyError, ValueError, TypeError):
            counts["failed"] += 1
    return {"frames": len(calls), "cpu_s": time.process_time() - began, **counts}


def main():
    logging.disable(logging.CRITICAL)
    with open(sys.argv[1]) as file:
        given = json.load(file)
    for _ in sys.stdin:
        print(json.dumps(asyncio.run(one(given))), flush=True)


main()
