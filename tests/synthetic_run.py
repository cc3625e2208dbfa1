"""A small run that never happened: facts, orders, fills, positions, balances and marks that agree with each other and with a ledger.

For tests of what reads the tape. `SyntheticRun(seed).publish(...)` writes it with coordinates as the stages would, and
`write_ledger` writes what the exchange would have written.
"""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra import archive, kafka
from infra.config import Config, parse
from infra.tail import Place, Taken
from topics import market, orders, portfolio, strategy, system, wire
from topics.catalog import TOPICS, Topic
from topics.controls import FIRM, InForce, LimitName, SetLimit
from topics.coordinates import HEADER, VERSION_HEADER, Coordinate
from topics.record import Liquidity, OrderType, Record, Side
from topics.routes import ROUTES, group

ACCOUNT = "sim.main"
STRATEGIES = ("buyer", "quoter", "cross")
COINS = {"BTC": Decimal("61000"), "ETH": Decimal("2600")}
OPENING = {"BTC": Decimal(20), "ETH": Decimal(200), "USDT": Decimal(2_000_000)}
START_NS = 1_760_000_000_000_000_123
VERSION = b"0123456789ab:fedcba987654"
ZERO = Decimal(0)

Change = Callable[[Record], Record]


@dataclass(frozen=True)
class Written:
    """One Kafka record, with the coordinate that the stage or edge which made it would give."""

    topic: Topic
    key: str
    events: tuple[Record, ...]
    src: Coordinate


@dataclass
class SyntheticRun:
    """`executions` one after the other, two seconds apart, on two instruments and by three strategies."""

    seed: int = 7
    executions: int = 48
    written: list[Written] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._balances = dict(OPENING)
        self._positions: dict[tuple[str, str], dict[str, Any]] = {}
        self._pnl: dict[str, Decimal] = dict.fromkeys(STRATEGIES, ZERO)
        self._peaks: dict[str, Decimal] = {}
        self._prices = dict(COINS)
        self._edge_n = self._offset = 0
        self._now = START_NS
        self._open()
        for number in range(self.executions):
            self._trade(number)

    def publish(
        self,
        conf: kafka.KafkaConf,
        prefix: str,
        *,
        altered: Change = lambda record: record,
        twice: bool = False,
        only: tuple[str, ...] = (),
    ) -> None:
        """To the topics' `prefix`, which are made; `twice` delivers each record again, as a stage does that crashed."""
        wanted = [t for t in TOPICS.values() if not only or t.name in only]
        kafka.create_topics(conf, prefix, topics=wanted)
        producer = kafka.producer(conf)
        for one in (one for _ in range(2 if twice else 1) for one in self.written if one.topic in wanted):
            headers = [(HEADER, one.src.encode()), (VERSION_HEADER, VERSION)]
            value = wire.encode([altered(event) for event in one.events])
            producer.produce(kafka.physical(prefix, one.topic), value, one.key, headers=headers)
        assert producer.flush(30) == 0

    def write_archive(self, root: Path) -> Path:
        """As the archive sink would have, all in one partition per topic; for what needs no broker."""
        taken: defaultdict[Place, list[Taken]] = defaultdict(list)
        for one in self.written:
            rows = taken[Place(one.topic.name, 0)]
            rows.append(taken_of(one, len(rows)))
        for place, rows in taken.items():
            archive.write(root, place, rows)
        return root

    def write_ledger(self, path: Path, altered: Callable[[dict[str, Any]], dict[str, Any]] = lambda line: line) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(altered({"seq": n, **line})) for n, line in enumerate(self.ledger, start=1)]
        path.write_text("\n".join(lines) + "\n")
        return path

    def events(self, kind: type[Record]) -> Iterator[Any]:
        """In the log that is theirs: copies in inboxes and compacted twins left out."""
        log = ROUTES[kind][0][0]
        for one in self.written:
            if one.topic is log:
                yield from (e for e in one.events if type(e) is kind)

    def derived(self, stage: str, records: Iterable[Record]) -> None:
        """What a stage made, a record at a time."""
        for record in records:
            self._stage(stage, record)

    # --- what happens -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._edge(
            "gateway",
            system.StageStarted(
                stage="gateway", instance=0, version="0123456789ab", config="fedcba987654", schema=1, ts_init=self._now
            ),
        )
        symbols = [{"symbol": f"{coin}USDT", "base": coin, "quote": "USDT"} for coin in COINS]
        self.ledger.append({"type": "ledger", "version": 1, "symbols": symbols})
        for currency, amount in OPENING.items():
            self.ledger.append(
                {
                    "type": "deposit",
                    "time": self._now,
                    "account": "main",
                    "asset": currency,
                    "amount": str(amount),
                    "opening": True,
                }
            )
            self._balance(currency, "snapshot")
        limit = SetLimit(
            control_id="c-1",
            scope=FIRM,
            who="ada",
            why="first",
            ts_init=self._now,
            limit=LimitName.MAX_ORDER_VALUE,
            value=Decimal(50000),
        )
        self._edge("operator", limit)
        self._stage(
            "controls",
            InForce(
                scope=FIRM,
                limits={limit.limit: limit.value},
                control_id="c-1",
                who="ada",
                why="first",
                ts_init=self._now,
            ),
        )

    def _trade(self, number: int) -> None:
        self._now += 2_000_000_000
        coin, by = list(COINS)[number % 2], STRATEGIES[number % 3]
        self._prices[coin] += Decimal(self._random.randint(-4000, 4200)) / 100
        self._mark(coin)
        order = self._submit(number, coin, by)
        if number % 12 == 11:
            self._denied(order)
            return
        self._edge(
            "gateway",
            orders.OrderRequested(
                **_of(order),
                command=order,
                venue_client_id=f"v{number}",
                judged_by=orders.Judgement(),
                ts_init=self._now + 100_000,
            ),
        )
        self._edge("gateway", orders.OrderSent(**_of(order), ts_init=self._now + 300_000))
        self._edge(
            "gateway",
            orders.OrderAccepted(
                **_of(order),
                venue_order_id=str(1000 + number),
                ts_event=self._now + 2_100_000,
                ts_init=self._now + 2_600_000,
            ),
        )
        self._fill(number, coin, order)

    def _submit(self, number: int, coin: str, by: str) -> orders.SubmitOrder:
        side = Side.BUY if self._random.random() < 0.55 else Side.SELL
        lot = Decimal("0.00001") if coin == "BTC" else Decimal("0.0001")
        order = orders.SubmitOrder(
            client_order_id=f"{by}-{number}",
            strategy=by,
            account=ACCOUNT,
            instrument=f"sim:{coin}-USDT",
            side=side,
            order_type=OrderType.LIMIT,
            order_qty=self._random.randint(300, 3000) * lot,
            price=self._prices[coin],
            reason="because",
            cause="",
            ts_init=self._now,
        )
        self._stage(
            f"intents/{by}",
            order,
            strategy.StrategyRecord(strategy=by, name="why", data={"n": str(number)}, ts_init=self._now),
        )
        return order

    def _denied(self, order: orders.SubmitOrder) -> None:
        denied = orders.OrderDenied(
            **_of(order),
            command=order,
            check="price_collar",
            value="0.03",
            limit="0.02",
            judged_by=orders.Judgement(),
            ts_init=self._now,
        )
        self._edge("gateway", denied)
        self._stage("orders", _updated(order, orders.OrderStatus.DENIED, "OrderDenied"))

    def _fill(self, number: int, coin: str, order: orders.SubmitOrder) -> None:
        assert order.price is not None
        ts = self._now + 5_000_000
        maker, buys = number % 4 != 0, order.side is Side.BUY
        rate = Decimal("0.00075") if maker else Decimal("0.001")
        value = order.order_qty * order.price
        currency, amount = (coin, order.order_qty) if buys else ("USDT", value)
        fee = (amount * rate).quantize(Decimal("0.00000001"), rounding="ROUND_DOWN")
        filled: dict[str, Any] = {
            "venue_order_id": str(1000 + number),
            "trade_id": str(500 + number // 2),
            "side": order.side,
            "last_qty": order.order_qty,
            "last_px": order.price,
            "fee": fee,
            "fee_currency": currency,
            "liquidity": Liquidity.MAKER if maker else Liquidity.TAKER,
            "base": coin,
            "quote": "USDT",
            "ts_event": ts,
            "ts_init": ts + 700_000,
        }
        self._ledger_execution(order, filled, value, maker)
        self._edge("gateway", orders.OrderFilled(**_of(order), **filled))
        fill = orders.Fill(**_of(order), **filled, settle="USDT", value=value)
        self._stage("orders", _updated(order, orders.OrderStatus.FILLED, "OrderFilled"), fill)
        self._position(fill, value)
        sign = order.side.sign
        for asset, change in ((coin, sign * order.order_qty), ("USDT", -sign * value), (currency, -fee)):
            self._balances[asset] += change
        for asset in (coin, "USDT"):
            self._balance(asset, "trade")
        self._lines(fill)

    def _position(self, fill: orders.Fill, value: Decimal) -> None:
        p = self._positions.setdefault(
            (fill.strategy, fill.instrument), {"fills": 0, "fees": {}} | dict.fromkeys(SUMS, ZERO)
        )
        prefix = "bought" if fill.side is Side.BUY else "sold"
        p["quantity"] += fill.side.sign * fill.last_qty
        p[f"{prefix}_qty"] += fill.last_qty
        p[f"{prefix}_value"] += value
        p["fees"] = p["fees"] | {fill.fee_currency: p["fees"].get(fill.fee_currency, ZERO) + fill.fee}
        p["fills"] += 1
        changed = portfolio.PositionChanged(
            account=ACCOUNT,
            strategy=fill.strategy,
            instrument=fill.instrument,
            base=fill.base,
            quote="USDT",
            realized_pnl=p["sold_value"] - p["bought_value"] + p["quantity"] * fill.last_px,
            last_px=fill.last_px,
            ts_event=fill.ts_event,
            ts_init=fill.ts_init,
            **p,
        )
        self._stage("positions", changed)

    def _lines(self, fill: orders.Fill) -> None:
        self._pnl[fill.strategy] += Decimal(self._random.randint(-900, 1100)) / 100
        for name in (fill.strategy, ""):
            total = self._pnl[name] if name else sum(self._pnl.values(), ZERO)
            self._peaks[name] = max(self._peaks.get(name, ZERO), total)
            line = portfolio.PortfolioLine(
                account=ACCOUNT,
                strategy=name,
                currency="USDT",
                total_pnl=total,
                peak_pnl=self._peaks[name],
                drawdown=self._peaks[name] - total,
                fees=Decimal(1),
                ts_init=fill.ts_init,
            )
            self._stage("portfolio", line)

    def _mark(self, coin: str) -> None:
        price = self._prices[coin]
        mark = market.Mark(
            instrument=f"sim:{coin}-USDT",
            best_bid=price - Decimal("0.5"),
            best_ask=price + Decimal("0.5"),
            ts_event=self._now,
            ts_init=self._now,
        )
        self._stage("normalize", mark)

    def _balance(self, currency: str, reason: str) -> None:
        total = self._balances[currency]
        changed = portfolio.BalanceChanged(
            account=ACCOUNT,
            currency=currency,
            free=total,
            locked=ZERO,
            reason=reason,
            ts_event=self._now,
            ts_init=self._now,
        )
        self._edge("gateway", changed)
        self.ledger.append(
            {
                "type": "balance",
                "time": self._now,
                "account": "main",
                "asset": currency,
                "free": f"{total:.8f}",
                "locked": "0.00000000",
                "cause": reason,
            }
        )

    def _ledger_execution(self, order: orders.SubmitOrder, filled: dict[str, Any], value: Decimal, maker: bool) -> None:
        self.ledger.append(
            {
                "type": "execution",
                "time": filled["ts_event"],
                "account": "main",
                "symbol": f"{filled['base']}USDT",
                "order_id": int(filled["venue_order_id"]),
                "client_order_id": order.client_order_id,
                "trade_id": int(filled["trade_id"]),
                "side": order.side.upper(),
                "qty": f"{order.order_qty:.8f}",
                "price": f"{order.price:.8f}",
                "quote_qty": f"{value:.8f}",
                "fee": f"{filled['fee']:.8f}",
                "fee_asset": filled["fee_currency"],
                "maker": maker,
                "counter_account": "market",
                "counter_order_id": 1,
            }
        )

    # --- who writes it ------------------------------------------------------------------------------------------

    def _edge(self, name: str, *records: Record) -> None:
        for (topic, key), events in group(records, {}).items():
            self._edge_n += 1
            self.written.append(Written(topic, key, tuple(events), Coordinate(name, "", 3, self._edge_n)))

    def _stage(self, name: str, *records: Record) -> None:
        self._offset += 1
        for minor, ((topic, key), events) in enumerate(group(records, {}).items()):
            self.written.append(
                Written(topic, key, tuple(events), Coordinate(name, "somewhere@abc/0", self._offset, minor))
            )


def taken_of(one: Written, offset: int) -> Taken:
    return Taken(
        topic=one.topic.name,
        topic_id="id",
        partition=0,
        offset=offset,
        timestamp_ms=START_NS // 1_000_000 + offset,
        key=one.key.encode(),
        value=wire.encode(one.events),
        src=one.src.encode(),
        ver=VERSION,
    )


def config_of(home: Path, name: str) -> Config:
    """The configuration of a run of that name whose account is the synthetic one."""
    account = {"api_key_env": "KEY", "api_secret_env": "SECRET"}
    return parse(
        {
            "run": {"name": name, "home": str(home)},
            "venues": {"sim": {"adapter": "binance"}},
            "accounts": {ACCOUNT: account},
        }
    )


SUMS = ("quantity", "bought_qty", "sold_qty", "bought_value", "sold_value")


def _of(order: orders.SubmitOrder) -> dict[str, Any]:
    return {
        "client_order_id": order.client_order_id,
        "account": order.account,
        "instrument": order.instrument,
        "strategy": order.strategy,
    }


def _updated(order: orders.SubmitOrder, status: orders.OrderStatus, fact: str) -> orders.OrderUpdated:
    filled = status is orders.OrderStatus.FILLED
    return orders.OrderUpdated(
        **_of(order),
        side=order.side,
        order_type=order.order_type,
        order_qty=order.order_qty,
        price=order.price,
        status=status,
        cum_qty=order.order_qty if filled else ZERO,
        avg_px=order.price if filled else None,
        fact=fact,
        ts_init=order.ts_init + 5_900_000,
    )
