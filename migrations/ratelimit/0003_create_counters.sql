-- Counters of rate limits, for those who count in Postgres, and the calls that can still be settled.
--
-- Instants are microseconds since 1970, as the arithmetic has them. `fresh_at` and `ends_at` are by this database's clock, whoever's
-- clock decided, and tell from when on a row is as good as none and may be swept out. They have no index, so that an update of a
-- counter touches none; sweeping goes through the pages.
--
-- The tables are logged, and written without waiting for the log: a crash forgets the charges of the last second. Who would rather do
-- without the log than without a crash forgetting every counter makes them unlogged.

-- `edge` tells counters that are asked before anybody is known from those of the platform's principals: both are the platform's.
-- `at` and `used` are the state of a level or of windows, the bits of `used` being those of an unsigned number; `entries` is that of
-- logs and leases, for each the instant of its end, the call and the amount in 8, 16 and 8 bytes, in the order of their ends.
CREATE TABLE stanchion.ratelimit_counter (
    scope_id uuid NOT NULL,
    edge boolean NOT NULL,
    key bytea NOT NULL,
    at bigint,
    used bigint,
    entries bytea,
    fresh_at bigint NOT NULL,
    PRIMARY KEY (scope_id, edge, key)
) WITH (fillfactor = 50);
-- Ids are random: compressing them is time lost.
ALTER TABLE stanchion.ratelimit_counter ALTER COLUMN entries SET STORAGE EXTERNAL;
CALL stanchion.isolate('stanchion.ratelimit_counter', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT, UPDATE, DELETE');

-- `until` is by the clock that decided.
CREATE TABLE stanchion.ratelimit_hold (
    scope_id uuid NOT NULL,
    edge boolean NOT NULL,
    id uuid NOT NULL,
    until bigint NOT NULL,
    ends_at bigint NOT NULL,
    PRIMARY KEY (scope_id, edge, id)
);
CALL stanchion.isolate('stanchion.ratelimit_hold', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT, UPDATE, DELETE');
