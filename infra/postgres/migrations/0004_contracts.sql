-- What contracts are settled in, how they pay, and what an execution was worth.

ALTER TABLE "order_facts"
    ADD COLUMN "settle" text,
    ADD COLUMN "payoff" text;

ALTER TABLE "fills"
    ADD COLUMN "settle" text,
    ADD COLUMN "payoff" text,
    ADD COLUMN "value" numeric;

ALTER TABLE "positions"
    ADD COLUMN "settle" text,
    ADD COLUMN "payoff" text;
