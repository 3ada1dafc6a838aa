-- Tenants themselves. They are the platform's: no tenant sees this table, so its unique slug tells none about another.

CREATE TABLE stanchion.tenancy_tenant (
    id uuid PRIMARY KEY CHECK (id <> '00000000-0000-0000-0000-000000000000'),
    slug text COLLATE "C" NOT NULL UNIQUE,
    name text NOT NULL,
    status text NOT NULL,
    tier text NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CALL stanchion.isolate('stanchion.tenancy_tenant', NULL, 'SELECT, INSERT, UPDATE');
