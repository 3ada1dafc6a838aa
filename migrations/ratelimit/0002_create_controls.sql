-- What holds for single callers beside the rules: overrides, quarantines, resets. Read and written as a whole, so kept as JSON. Those
-- that have no effect any more are deleted by the next write to the scope.

CREATE TABLE stanchion.ratelimit_control (
    scope_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    control text NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CALL stanchion.isolate('stanchion.ratelimit_control', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');
