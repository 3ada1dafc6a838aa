-- The trees over the audit ledger's chains, in tiles of 256 hashes, and each chain's latest checkpoint.

CREATE TABLE stanchion.audit_checkpoint (
    scope_id uuid NOT NULL,
    class smallint NOT NULL CHECK (class BETWEEN 1 AND 3),
    size bigint NOT NULL,
    root bytea NOT NULL,
    signed_at timestamptz NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (scope_id, class)
) WITH (fillfactor = 50);
CALL stanchion.isolate('stanchion.audit_checkpoint', 'SELECT', 'SELECT, INSERT, UPDATE');

-- Tiles at level 0 hold leaves and are full; of leaves that do not fill a tile the entries have the hashes. Tiles above grow.
-- `hashes` has 32 bytes for each. They outlive the entries they are over.
CREATE TABLE stanchion.audit_tile (
    scope_id uuid NOT NULL,
    class smallint NOT NULL CHECK (class BETWEEN 1 AND 3),
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    number bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (scope_id, class, level, number)
);
-- Hashes do not compress.
ALTER TABLE stanchion.audit_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
CALL stanchion.isolate('stanchion.audit_tile', 'SELECT', 'SELECT, INSERT, UPDATE');
