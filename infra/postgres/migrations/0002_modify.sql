-- Modified and stop orders: their terms, revisions, and which order carries on for which.

ALTER TABLE "commands"
    ADD COLUMN "trigger_price" numeric,
    ADD COLUMN "replaces" text,
    ADD COLUMN "revision" bigint;

ALTER TABLE "order_facts"
    ADD COLUMN "revision" bigint,
    ADD COLUMN "trigger_price" numeric,
    ADD COLUMN "replacement" text,
    ADD COLUMN "replaced_by" text;

ALTER TABLE "orders"
    ADD COLUMN "trigger_price" numeric,
    ADD COLUMN "pending_replace" boolean,
    ADD COLUMN "revision" bigint,
    ADD COLUMN "replaces" text,
    ADD COLUMN "replaced_by" text;
