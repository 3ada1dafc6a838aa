-- The keys of protected values, and what the law excepts from their destruction.

-- Data keys, wrapped with a secret that is not in the database. `node` is empty for a data key itself, and names the class, or the class
-- and the field, for what was kept of one that is destroyed. The subject `index` owns a scope's key for blind indexes.
CREATE TABLE stanchion.audit_subject_key (
    scope_id uuid NOT NULL,
    id uuid NOT NULL,
    node text NOT NULL,
    subject text NOT NULL,
    period text NOT NULL,
    version bigint NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id, node)
);
CREATE UNIQUE INDEX audit_subject_key_current ON stanchion.audit_subject_key (scope_id, subject, period) WHERE node = '';
CREATE INDEX audit_subject_key_subject ON stanchion.audit_subject_key (scope_id, subject);
CREATE INDEX audit_subject_key_version ON stanchion.audit_subject_key (version);
-- What is destroyed must not linger in old versions of rows.
ALTER TABLE stanchion.audit_subject_key SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
CALL stanchion.isolate('stanchion.audit_subject_key', 'SELECT, INSERT, DELETE', 'SELECT, INSERT, UPDATE');

CREATE TABLE stanchion.audit_exception (
    scope_id uuid NOT NULL,
    id text NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    subject text,
    class smallint CHECK (class BETWEEN 1 AND 3),
    field text,
    basis text NOT NULL,
    until timestamptz NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CALL stanchion.isolate('stanchion.audit_exception', 'SELECT, INSERT, UPDATE, DELETE', NULL);
