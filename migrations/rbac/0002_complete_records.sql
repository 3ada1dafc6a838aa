-- Grants, groups, separations and sessions; what a role excludes, bounds and asks for; and the resources that a record is about.
--
-- A resource of '' is none: it stands in keys. Constraints, metadata and approvals are JSON as text, read back to the letter.

ALTER TABLE stanchion.rbac_role
    ADD COLUMN excludes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN ceiling text,
    ADD COLUMN constraints text NOT NULL DEFAULT '[]',
    ADD COLUMN requires text[] NOT NULL DEFAULT '{}',
    ADD COLUMN max_holders bigint CHECK (max_holders >= 0),
    ADD COLUMN metadata text NOT NULL DEFAULT '{}';

ALTER TABLE stanchion.rbac_assignment
    ADD COLUMN resource text COLLATE "C" NOT NULL DEFAULT '',
    DROP CONSTRAINT rbac_assignment_pkey,
    ADD PRIMARY KEY (scope_id, subject, role, resource);
DROP INDEX stanchion.rbac_assignment_role;
CREATE INDEX rbac_assignment_role ON stanchion.rbac_assignment (scope_id, role, subject, resource);

ALTER TABLE stanchion.rbac_denial
    ADD COLUMN resource text COLLATE "C" NOT NULL DEFAULT '',
    DROP CONSTRAINT rbac_denial_pkey,
    ADD PRIMARY KEY (scope_id, subject, permission, resource);

CREATE TABLE stanchion.rbac_grant (
    scope_id uuid NOT NULL,
    subject text COLLATE "C" NOT NULL,
    permission text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    not_before timestamptz,
    expires_at timestamptz,
    constraints text NOT NULL,
    reason text,
    granted_by text,
    emergency text,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, subject, permission, resource)
);
CALL stanchion.isolate('stanchion.rbac_grant', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');

CREATE TABLE stanchion.rbac_membership (
    scope_id uuid NOT NULL,
    group_subject text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    not_before timestamptz,
    expires_at timestamptz,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, group_subject, member)
);
CREATE INDEX rbac_membership_member ON stanchion.rbac_membership (scope_id, member, group_subject);
CALL stanchion.isolate('stanchion.rbac_membership', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');

CREATE TABLE stanchion.rbac_separation (
    scope_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    duty text NOT NULL,
    roles text[] NOT NULL,
    at_most bigint NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CALL stanchion.isolate('stanchion.rbac_separation', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');

CREATE TABLE stanchion.rbac_session (
    scope_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    active text[] NOT NULL,
    expires_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope_id, id)
);
CREATE INDEX rbac_session_subject ON stanchion.rbac_session (scope_id, subject, id);
CALL stanchion.isolate('stanchion.rbac_session', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT');
