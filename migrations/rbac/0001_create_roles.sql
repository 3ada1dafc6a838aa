-- Roles, who holds them, and what is denied to whom. Lists are in byte order, whatever the database's collation.

CREATE TABLE stanchion.rbac_role (
    scope_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text,
    permissions text[] NOT NULL,
    includes text[] NOT NULL,
    active boolean NOT NULL,
    system boolean NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CALL stanchion.isolate('stanchion.rbac_role', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');

CREATE TABLE stanchion.rbac_assignment (
    scope_id uuid NOT NULL,
    subject text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    not_before timestamptz,
    expires_at timestamptz,
    reason text,
    granted_by text,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, subject, role)
);
CREATE INDEX rbac_assignment_role ON stanchion.rbac_assignment (scope_id, role, subject);
CALL stanchion.isolate('stanchion.rbac_assignment', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');

CREATE TABLE stanchion.rbac_denial (
    scope_id uuid NOT NULL,
    subject text COLLATE "C" NOT NULL,
    permission text COLLATE "C" NOT NULL,
    reason text,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, subject, permission)
);
CALL stanchion.isolate('stanchion.rbac_denial', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');
