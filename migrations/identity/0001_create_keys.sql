-- API keys, and the hashes of their secrets. No secret is stored.

CREATE TABLE stanchion.identity_key (
    scope_id uuid NOT NULL,
    id uuid NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    environment text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    cidrs text[] NOT NULL,
    current_number bigint NOT NULL,
    current_prefix text NOT NULL,
    current_pepper bigint NOT NULL,
    current_digest bytea NOT NULL,
    current_created_at timestamptz NOT NULL,
    former_number bigint,
    former_prefix text,
    former_pepper bigint,
    former_digest bytea,
    former_created_at timestamptz,
    former_not_after timestamptz,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CALL stanchion.isolate('stanchion.identity_key', 'SELECT, INSERT, UPDATE', 'SELECT');

-- Whose each hash is: the one look-up that discovers a tenant. A hash belongs to one key over all scopes, so this primary key does not
-- begin with the scope. It tells a tenant nothing: who knows a hash of 256 bits has the key it is of.
CREATE TABLE stanchion.identity_secret (
    pepper bigint NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    scope_id uuid NOT NULL,
    key_id uuid NOT NULL,
    PRIMARY KEY (pepper, digest),
    FOREIGN KEY (scope_id, key_id) REFERENCES stanchion.identity_key (scope_id, id) ON DELETE CASCADE
);
CREATE INDEX identity_secret_key ON stanchion.identity_secret (scope_id, key_id);
CALL stanchion.isolate('stanchion.identity_secret', 'SELECT, INSERT, DELETE', 'SELECT');
