-- The audit: what stands here was on the tape. Made from infra/postgres/tables.py; a later change is a new migration.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

-- How far each partition is in here; written in the transaction of the rows themselves.
CREATE TABLE offsets (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "next_offset" bigint NOT NULL,
    PRIMARY KEY ("topic", "topic_id", "partition")
);

CREATE TABLE records (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text,
    "key" text,
    "ts_broker" timestamptz NOT NULL,
    "record" jsonb,
    "payload" bytea,
    "reason" text,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index")
);
CREATE INDEX ON records ("topic", "topic_id", "producer", "source", "major", "minor", "index");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "records" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "records" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "commands" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "client_order_id" text,
    "strategy" text,
    "account" text,
    "instrument" text,
    "side" text,
    "order_type" text,
    "order_qty" numeric,
    "price" numeric,
    "time_in_force" text,
    "post_only" boolean,
    "reduce_only" boolean,
    "reason" text,
    "cause" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    "command_id" text,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "commands" ("client_order_id");
CREATE INDEX ON "commands" ("strategy", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "commands" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "commands" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "order_facts" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "client_order_id" text,
    "account" text,
    "instrument" text,
    "strategy" text,
    "ts_event" timestamptz,
    "ts_event_ns" bigint,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    "command" jsonb,
    "venue_client_id" text,
    "judged_by" jsonb,
    "check" text,
    "value" text,
    "limit" text,
    "venue_order_id" text,
    "code" text,
    "reason" text,
    "command_id" text,
    "cum_qty" numeric,
    "prevented_qty" numeric,
    "trade_id" text,
    "side" text,
    "last_qty" numeric,
    "last_px" numeric,
    "fee" numeric,
    "fee_currency" text,
    "liquidity" text,
    "base" text,
    "quote" text,
    "multiplier" numeric,
    "where" text,
    "found" boolean,
    "venue_status" text,
    "order_qty" numeric,
    "order_type" text,
    "price" numeric,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "order_facts" ("client_order_id");
CREATE INDEX ON "order_facts" ("account", "instrument", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "order_facts" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "order_facts" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "orders" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "client_order_id" text,
    "account" text,
    "instrument" text,
    "strategy" text,
    "side" text,
    "order_type" text,
    "order_qty" numeric,
    "price" numeric,
    "time_in_force" text,
    "post_only" boolean,
    "status" text,
    "pending_cancel" boolean,
    "venue_order_id" text,
    "cum_qty" numeric,
    "leaves_qty" numeric,
    "avg_px" numeric,
    "overfill_qty" numeric,
    "fees" jsonb,
    "last_qty" numeric,
    "last_px" numeric,
    "fact" text,
    "reason" text,
    "ts_event" timestamptz,
    "ts_event_ns" bigint,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "orders" ("client_order_id", "offset");
CREATE INDEX ON "orders" ("strategy", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "orders" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "orders" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "anomalies" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "client_order_id" text,
    "account" text,
    "instrument" text,
    "strategy" text,
    "what" text,
    "detail" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    "tape" text,
    "venue" text,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "anomalies" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "anomalies" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "fills" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "account" text,
    "strategy" text,
    "instrument" text,
    "client_order_id" text,
    "venue_order_id" text,
    "trade_id" text,
    "side" text,
    "last_qty" numeric,
    "last_px" numeric,
    "fee" numeric,
    "fee_currency" text,
    "liquidity" text,
    "base" text,
    "quote" text,
    "multiplier" numeric,
    "reversal" boolean,
    "ts_event" timestamptz,
    "ts_event_ns" bigint,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "fills" ("account", "instrument", "ts_event_ns");
CREATE INDEX ON "fills" ("strategy");
CREATE INDEX ON "fills" ("client_order_id");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "fills" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "fills" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "positions" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "account" text,
    "strategy" text,
    "instrument" text,
    "base" text,
    "quote" text,
    "quantity" numeric,
    "avg_px" numeric,
    "realized_pnl" numeric,
    "bought_qty" numeric,
    "sold_qty" numeric,
    "bought_value" numeric,
    "sold_value" numeric,
    "fees" jsonb,
    "multiplier" numeric,
    "fills" bigint,
    "last_px" numeric,
    "ts_event" timestamptz,
    "ts_event_ns" bigint,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "positions" ("account", "strategy", "instrument", "offset");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "positions" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "positions" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "balances" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "account" text,
    "currency" text,
    "free" numeric,
    "locked" numeric,
    "reason" text,
    "ts_event" timestamptz,
    "ts_event_ns" bigint,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "balances" ("account", "currency", "offset");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "balances" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "balances" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "portfolio" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "account" text,
    "strategy" text,
    "instrument" text,
    "currency" text,
    "quantity" numeric,
    "mark" numeric,
    "gross_exposure" numeric,
    "net_exposure" numeric,
    "realized_pnl" numeric,
    "unrealized_pnl" numeric,
    "fees" numeric,
    "total_pnl" numeric,
    "peak_pnl" numeric,
    "drawdown" numeric,
    "complete" boolean,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "portfolio" ("account", "strategy", "instrument", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "portfolio" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "portfolio" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "controls" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "control_id" text,
    "scope" text,
    "who" text,
    "why" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    "limit" text,
    "value" numeric,
    "params" jsonb,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "controls" ("scope", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "controls" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "controls" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "controls_done" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "account" text,
    "control_id" text,
    "control" text,
    "scope" text,
    "record_offset" bigint,
    "outcome" text,
    "detail" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "controls_done" ("control_id");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "controls_done" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "controls_done" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "in_force" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "scope" text,
    "state" text,
    "limits" jsonb,
    "control_id" text,
    "who" text,
    "why" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "in_force" ("scope", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "in_force" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "in_force" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "strategy_records" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "strategy" text,
    "name" text,
    "data" jsonb,
    "instrument" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    "where" text,
    "error" text,
    "who" text,
    "why" text,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE INDEX ON "strategy_records" ("strategy", "ts_init_ns");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "strategy_records" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "strategy_records" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "stage_starts" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "stage" text,
    "instance" bigint,
    "record_version" text,
    "config" text,
    "schema" bigint,
    "pid" bigint,
    "host" text,
    "ts_init" timestamptz,
    "ts_init_ns" bigint,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "stage_starts" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "stage_starts" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE "dead_letters" (
    "topic" text NOT NULL,
    "topic_id" text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    "index" integer NOT NULL,
    "producer" text NOT NULL,
    "source" text NOT NULL,
    "major" bigint NOT NULL,
    "minor" bigint NOT NULL,
    "version" text NOT NULL,
    "type" text NOT NULL,
    "stage" text,
    "record_topic" text,
    "record_partition" bigint,
    "record_offset" bigint,
    "reason" text,
    "payload" bytea,
    "key" bytea,
    PRIMARY KEY ("topic", "topic_id", "partition", "offset", "index"),
    UNIQUE ("topic", "topic_id", "producer", "source", "major", "minor", "index")
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON "dead_letters" FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON "dead_letters" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
