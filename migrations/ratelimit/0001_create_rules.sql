-- Rate-limit rules. A rule is read and written as a whole, so it is kept as the JSON that configurations and the admin API use.

CREATE TABLE stanchion.ratelimit_rule (
    scope_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    rule text NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CALL stanchion.isolate('stanchion.ratelimit_rule', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');
