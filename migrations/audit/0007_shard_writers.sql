-- Scopes are divided among shards, each with a writer and a fence of its own.

-- Among how many; not settled before the first writer was admitted, and then for good.
CREATE TABLE stanchion.audit_shards (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    count smallint CHECK (count BETWEEN 1 AND 64)
);
-- The owner is held to row-level security as well.
ALTER TABLE stanchion.audit_writer NO FORCE ROW LEVEL SECURITY;
INSERT INTO stanchion.audit_shards (count) SELECT CASE WHEN fence > 0 THEN 1 END FROM stanchion.audit_writer;
CALL stanchion.isolate('stanchion.audit_shards', NULL, 'SELECT, UPDATE');

ALTER TABLE stanchion.audit_writer DROP COLUMN only_row;
ALTER TABLE stanchion.audit_writer ADD COLUMN shard smallint NOT NULL DEFAULT 0 PRIMARY KEY;
INSERT INTO stanchion.audit_writer (shard, fence, least) SELECT shard, 0, 0 FROM generate_series(1, 63) AS shard;
ALTER TABLE stanchion.audit_writer FORCE ROW LEVEL SECURITY;
