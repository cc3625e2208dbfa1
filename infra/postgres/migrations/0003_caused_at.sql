-- The venue's time of the event that caused an order.

ALTER TABLE "commands"
    ADD COLUMN "ts_event" timestamptz,
    ADD COLUMN "ts_event_ns" bigint;
