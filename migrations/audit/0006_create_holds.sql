-- Legal holds: while one stands, nothing of its chains is dropped. They stay on record when they are lifted.

CREATE TABLE stanchion.audit_hold (
    scope_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    -- Of which class; all of them when it is not set.
    class smallint CHECK (class BETWEEN 1 AND 3),
    reason text NOT NULL,
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL,
    until timestamptz,
    lifted_by text,
    lifted_at timestamptz,
    PRIMARY KEY (scope_id, hold_id),
    CHECK ((lifted_by IS NULL) = (lifted_at IS NULL))
);
CALL stanchion.isolate('stanchion.audit_hold', 'SELECT, INSERT, UPDATE', NULL);
