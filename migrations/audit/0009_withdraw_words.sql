-- Words of protected values that were erased go from what queries look at.

-- Keys that were destroyed. `keeps` names, a line each, the classes, or classes and fields, of which values can still be opened; what is
-- projected later is without the words of all others. Until `is_done`, what was projected before may still have them.
CREATE TABLE stanchion.audit_withdrawn (
    scope_id uuid NOT NULL,
    key_id uuid NOT NULL,
    keeps text NOT NULL,
    is_done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (scope_id, key_id)
);
CREATE INDEX audit_withdrawn_undone ON stanchion.audit_withdrawn (scope_id) WHERE NOT is_done;
CALL stanchion.isolate('stanchion.audit_withdrawn', 'SELECT', 'SELECT, INSERT, UPDATE');

GRANT UPDATE (terms) ON stanchion.audit_search TO stanchion_system;

-- Rows have a term for each key now, by which they are found when it is destroyed. So all are made anew, and with the erasures that the
-- ledger records.
TRUNCATE stanchion.audit_cursor, stanchion.audit_search;
