"""The four dashboards: trading, pipeline, risk, venues."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from infra.grafana.panels import BAD, OK, WARN, Query, board, figure, lines, quantile

RUN = '{run=~"$run"}'
RATE = "[$__rate_interval]"
MONEY = "locale"
"""Grouped digits; the currency stands in the legend."""


def all_boards() -> dict[str, Dashboard]:
    """By file name."""
    return {"trading": trading(), "pipeline": pipeline(), "risk": risk(), "venues": venues()}


def _rate(metric: str, by: str, where: str = "") -> str:
    labels = f'run=~"$run"{", " + where if where else ""}'
    return f"sum by ({by}) (rate({metric}{{{labels}}}{RATE}))"


def _quantiles(metric: str, by: str, legend: str, where: str = "") -> list[Query]:
    return [Query(quantile(q, metric, by, where), f"{legend} p{q * 100:g}") for q in (0.5, 0.99)]


def trading() -> Dashboard:
    return board(
        "tapedeck: trading",
        "tapedeck-trading",
        "What the strategies command, what becomes of it, and how long that takes.",
        figure(
            "P&L", MONEY, Query(f"sum by (account, currency) (tapedeck_account_pnl{RUN})", "{{account}} {{currency}}")
        ),
        figure("open orders", "none", Query(f"sum(tapedeck_orders_open{RUN})")),
        figure(
            "unknown orders",
            "none",
            Query('sum(tapedeck_orders_open{run=~"$run", status="unknown"})'),
            about="Their answer is missing; they are asked for until there is evidence.",
            steps=((None, OK), (1, BAD)),
        ),
        figure("executions", "none", Query(f"sum(tapedeck_fills_total{RUN})")),
        figure("halted strategies", "none", Query(f"sum(tapedeck_strategy_halted{RUN})"), steps=((None, OK), (1, BAD))),
        figure("killed scopes", "none", Query(f"sum(tapedeck_scope_halted{RUN})"), steps=((None, OK), (1, BAD))),
        lines("P&L by strategy", MONEY, Query(f"tapedeck_strategy_pnl{RUN}", "{{strategy}} {{currency}}")),
        lines("positions", "none", Query(f"tapedeck_position_quantity{RUN}", "{{strategy}} {{instrument}}")),
        lines(
            "exchange time to order sent",
            "s",
            *_quantiles("tapedeck_order_exchange_to_sent_seconds", "strategy", "{{strategy}}"),
            about="From the exchange's time of the event that caused an order until it leaves.",
        ),
        lines(
            "receipt to order sent",
            "s",
            *_quantiles("tapedeck_order_received_to_sent_seconds", "strategy", "{{strategy}}"),
            about="The same by our clock alone, from the receipt of that event.",
        ),
        lines(
            "commands a second",
            "ops",
            Query(_rate("tapedeck_commands_total", "strategy, command"), "{{strategy}} {{command}}"),
        ),
        lines(
            "orders a second, by status",
            "ops",
            Query(_rate("tapedeck_orders_total", "status"), "{{status}}"),
            stacked=True,
        ),
        lines(
            "executions a second",
            "ops",
            Query(_rate("tapedeck_fills_total", "strategy, liquidity"), "{{strategy}} {{liquidity}}"),
        ),
        lines(
            "open orders by status",
            "none",
            Query(f"sum by (status) (tapedeck_orders_open{RUN})", "{{status}}"),
            stacked=True,
        ),
    )


def pipeline() -> Dashboard:
    return board(
        "tapedeck: pipeline",
        "tapedeck-pipeline",
        "Every worker: whether it is there, keeps up, and commits.",
        figure("workers up", "none", Query('sum(up{job="tapedeck", run=~"$run"})')),
        figure(
            "workers down",
            "none",
            Query('count(up{job="tapedeck", run=~"$run"}) - sum(up{job="tapedeck", run=~"$run"})'),
            steps=((None, OK), (1, BAD)),
        ),
        figure(
            "not ready",
            "none",
            Query(f"count(tapedeck_worker_ready{RUN}) - sum(tapedeck_worker_ready{RUN})"),
            steps=((None, OK), (1, WARN)),
        ),
        figure("largest lag", "none", Query(f"max(tapedeck_lag_records{RUN})"), steps=((None, OK), (1000, BAD))),
        figure("dead letters", "none", Query(f"sum(tapedeck_dead_letters_total{RUN})"), steps=((None, OK), (1, WARN))),
        figure(
            "records missing", "none", Query(f"sum(tapedeck_records_missing_total{RUN})"), steps=((None, OK), (1, BAD))
        ),
        lines("records in, a second", "ops", Query(_rate("tapedeck_records_in_total", "stage"), "{{stage}}")),
        lines("records out, a second", "ops", Query(_rate("tapedeck_records_out_total", "stage"), "{{stage}}")),
        lines("events in, a second", "ops", Query(_rate("tapedeck_events_in_total", "stage"), "{{stage}}")),
        lines("lag", "none", Query(f"sum by (stage) (tapedeck_lag_records{RUN})", "{{stage}}"), limit=1000),
        lines("time for a record, p50", "s", Query(quantile(0.5, "tapedeck_processing_seconds", "stage"), "{{stage}}")),
        lines(
            "time for a record, p99", "s", Query(quantile(0.99, "tapedeck_processing_seconds", "stage"), "{{stage}}")
        ),
        lines("checkpoint, p99", "s", Query(quantile(0.99, "tapedeck_checkpoint_seconds", "stage"), "{{stage}}")),
        lines(
            "committed offsets, a second",
            "ops",
            Query(f"sum by (stage) (deriv(tapedeck_committed_offset{RUN}[1m]))", "{{stage}}"),
            about="Zero while the lag is not: it is stalled.",
        ),
        lines(
            "not committed yet",
            "none",
            Query(f"sum by (stage) (tapedeck_end_offset{RUN} - tapedeck_committed_offset{RUN})", "{{stage}}"),
        ),
        lines(
            "since the last turn",
            "s",
            Query(f"time() - tapedeck_worker_last_turn_timestamp_seconds{RUN}", "{{stage}}"),
            about="How long ago each worker's loop came round.",
            limit=30,
        ),
        lines("redelivered and skipped", "ops", Query(_rate("tapedeck_records_fenced_total", "stage"), "{{stage}}")),
        lines("dead letters a second", "ops", Query(_rate("tapedeck_dead_letters_total", "stage"), "{{stage}}")),
    )


def risk() -> Dashboard:
    money = "{{account}} {{currency}}"
    return board(
        "tapedeck: risk",
        "tapedeck-risk",
        "Exposure, drawdown, limits, denials, halts.",
        figure(
            "gross exposure", MONEY, Query(f"sum by (account, currency) (tapedeck_account_gross_exposure{RUN})", money)
        ),
        figure("net exposure", MONEY, Query(f"sum by (account, currency) (tapedeck_account_net_exposure{RUN})", money)),
        figure("drawdown", MONEY, Query(f"max by (account, currency) (tapedeck_account_drawdown{RUN})", money)),
        figure("killed scopes", "none", Query(f"sum(tapedeck_scope_halted{RUN})"), steps=((None, OK), (1, BAD))),
        figure(
            "halted instruments", "none", Query(f"sum(tapedeck_instrument_halted{RUN})"), steps=((None, OK), (1, BAD))
        ),
        figure(
            "valued in full",
            "bool",
            Query(f"min(tapedeck_account_valued{RUN})"),
            about="No while a mark or a rate is missing.",
            steps=((None, BAD), (1, OK)),
        ),
        lines(
            "exposure of each account",
            MONEY,
            Query(f"tapedeck_account_gross_exposure{RUN}", "gross {{account}} {{currency}}"),
            Query(f"tapedeck_account_net_exposure{RUN}", "net {{account}} {{currency}}"),
        ),
        lines(
            "P&L of each account",
            MONEY,
            Query(f"tapedeck_account_pnl{RUN}", "total {{account}} {{currency}}"),
            Query(f"tapedeck_account_realized_pnl{RUN}", "realized {{account}} {{currency}}"),
            Query(f"tapedeck_account_unrealized_pnl{RUN}", "unrealized {{account}} {{currency}}"),
            Query(f"-tapedeck_account_fees{RUN}", "fees {{account}} {{currency}}"),
        ),
        lines(
            "drawdown over time",
            MONEY,
            Query(f"tapedeck_account_drawdown{RUN}", "{{account}} {{currency}}"),
            Query(f"tapedeck_strategy_drawdown{RUN}", "{{strategy}} {{currency}}"),
        ),
        lines(
            "exposure of positions",
            MONEY,
            Query(f"tapedeck_position_gross_exposure{RUN}", "{{strategy}} {{instrument}}"),
            stacked=True,
        ),
        lines(
            "net exposure of positions",
            MONEY,
            Query(f"tapedeck_position_net_exposure{RUN}", "{{strategy}} {{instrument}}"),
        ),
        lines("P&L of positions", MONEY, Query(f"tapedeck_position_pnl{RUN}", "{{strategy}} {{instrument}}")),
        lines(
            "largest position against its limit",
            "percentunit",
            Query(
                f"max by (run, account) (tapedeck_position_gross_exposure{RUN})"
                f' / on (run) group_left () min by (run) (tapedeck_limit{{run=~"$run", limit="max_position_value"}})',
                "{{account}}",
            ),
            about="Of the strictest max_position_value in force in any scope.",
            limit=1,
        ),
        lines("limits in force", "none", Query(f"tapedeck_limit{RUN}", "{{limit}} {{scope}}")),
        lines(
            "denials, by check", "ops", Query(_rate("tapedeck_order_denials_total", "check"), "{{check}}"), stacked=True
        ),
        lines(
            "differences from the venue",
            "none",
            Query(
                f"sum by (account, instrument) (tapedeck_reconciliation_differences_total{RUN})",
                "{{account}} {{instrument}}",
            ),
        ),
        lines("order anomalies", "none", Query(f"sum by (what) (tapedeck_order_anomalies_total{RUN})", "{{what}}")),
        lines("kills by scope", "none", Query(f"tapedeck_scope_halted{RUN}", "{{scope}}")),
    )


def venues() -> Dashboard:
    return board(
        "tapedeck: venues",
        "tapedeck-venues",
        "What the venues send, how late, and how fast they answer.",
        figure("streams up", "none", Query(f"sum(tapedeck_venue_connected{RUN})"), steps=((None, BAD), (1, OK))),
        figure("connections made", "none", Query(f"sum(tapedeck_venue_connections_total{RUN})")),
        figure(
            "books whole",
            "percentunit",
            Query(f"avg(tapedeck_book_synchronized{RUN})"),
            steps=((None, BAD), (1, OK)),
        ),
        figure("gaps", "none", Query(f"sum(tapedeck_book_gaps_total{RUN})"), steps=((None, OK), (1, WARN))),
        figure(
            "oldest market",
            "s",
            Query(f"max(time() - tapedeck_market_last_event_timestamp_seconds{RUN})"),
            steps=((None, OK), (5, WARN), (30, BAD)),
        ),
        figure(
            "gateways ready",
            "percentunit",
            Query('avg(tapedeck_worker_ready{run=~"$run", stage=~"gateway/.*"})'),
            about="Reconciled, and the account's stream is up.",
            steps=((None, BAD), (1, OK)),
        ),
        lines(
            "frames a second",
            "ops",
            Query(_rate("tapedeck_events_in_total", "stage", 'stage=~"ingest/.*"'), "{{stage}}"),
        ),
        lines(
            "since the last frame",
            "s",
            Query(f"time() - tapedeck_venue_last_frame_timestamp_seconds{RUN}", "{{venue}}"),
            limit=30,
        ),
        lines(
            "delay of market events",
            "s",
            *_quantiles("tapedeck_market_delay_seconds", "venue", "{{venue}}"),
            about="From the exchange's time to our receipt. Where our clock is behind the venue's, that is added.",
        ),
        lines(
            "our clock behind the venue's",
            "s",
            Query(f"max by (venue) (tapedeck_venue_clock_skew_seconds{RUN})", "{{venue}}"),
            about="At least so much, by the least receive time less the venue's within two minutes; 0: none to be seen.",
        ),
        lines(
            "age of each market",
            "s",
            Query(f"time() - tapedeck_market_last_event_timestamp_seconds{RUN}", "{{instrument}}"),
            limit=30,
        ),
        lines("gaps in books", "none", Query(f"sum by (instrument) (tapedeck_book_gaps_total{RUN})", "{{instrument}}")),
        lines("books whole over time", "bool_yes_no", Query(f"tapedeck_book_synchronized{RUN}", "{{instrument}}")),
        lines(
            "answer to an order",
            "s",
            *_quantiles("tapedeck_venue_answer_seconds", "account", "{{account}}", 'what="submit"'),
        ),
        lines(
            "answer to a cancel",
            "s",
            *_quantiles("tapedeck_venue_answer_seconds", "account", "{{account}}", 'what="cancel"'),
        ),
        lines(
            "write-ahead",
            "s",
            *_quantiles("tapedeck_order_write_ahead_seconds", "account", "{{account}}"),
            about="From the decision until the order leaves, durable on the tape between.",
        ),
        lines(
            "rejected by the venue",
            "ops",
            Query(_rate("tapedeck_orders_total", "account, strategy", 'status="rejected"'), "{{strategy}}"),
        ),
    )
