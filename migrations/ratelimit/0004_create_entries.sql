-- The entries of logs and leases get rows of their own: as one value in the row of their counter, every charge read and wrote them all.
-- Logs and leases that were kept so start over.

-- `held` is what all entries of a counter take together, those included that have ended and were not removed yet; of those, none ended
-- at `at` or before. So a decision looks at what has ended since then, and at no other entry.
ALTER TABLE stanchion.ratelimit_counter DROP COLUMN entries, ADD COLUMN held numeric;

-- An entry is read and written by whoever has the row of its counter, and counts as long as that is there: what stands without a counter
-- is left over, from one that was reset or swept out, and is removed. `until` is by the clock that decided. Calls that have no name
-- share an entry where they end at the same time.
CREATE TABLE stanchion.ratelimit_entry (
    scope_id uuid NOT NULL,
    edge boolean NOT NULL,
    key bytea NOT NULL,
    until bigint NOT NULL,
    id uuid NOT NULL,
    amount numeric NOT NULL,
    PRIMARY KEY (scope_id, edge, key, until, id)
);
-- To find what a call has charged.
CREATE INDEX ratelimit_entry_id ON stanchion.ratelimit_entry (scope_id, edge, id);
CALL stanchion.isolate('stanchion.ratelimit_entry', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT, UPDATE, DELETE');
