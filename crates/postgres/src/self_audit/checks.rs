/// What must hold, and a query that finds where it does not: rows of `object` and `fix`.
pub(super) struct Check {
    pub(super) rule: &'static str,
    pub(super) query: &'static str,
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        rule: "a role that the server works in must not be a superuser or pass by row-level security",
        query: "
SELECT 'role ' || rolname AS object, format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', rolname) AS fix
FROM pg_roles
WHERE (rolsuper OR rolbypassrls) AND rolname IN ('stanchion_tenant', 'stanchion_system', 'stanchion_owner', session_user)",
    },
    Check {
        rule: "a role that the server works in must not be a member of one that owns tables or passes by row-level security",
        query: "
SELECT format('role %s, member of %s', mine.rolname, other.rolname) AS object,
       format('REVOKE %I FROM %I', other.rolname, mine.rolname) AS fix
FROM pg_roles AS mine
JOIN pg_roles AS other ON other.oid <> mine.oid AND pg_has_role(mine.oid, other.oid, 'MEMBER')
WHERE mine.rolname IN ('stanchion_tenant', 'stanchion_system', session_user) AND NOT mine.rolsuper
  AND (other.rolsuper OR other.rolbypassrls OR other.rolname = 'stanchion_owner'
       OR (mine.rolname = 'stanchion_tenant' AND other.rolname = 'stanchion_system')
       OR EXISTS (SELECT FROM pg_class WHERE relnamespace = 'stanchion'::regnamespace AND relowner = other.oid))",
    },
    Check {
        rule: "the server's login must have no rights of its own, in the tables or by inheritance",
        query: "
SELECT format('login %s on %s', session_user, c.oid::regclass) AS object,
       format('REVOKE ALL ON %s FROM %I; ALTER ROLE %2$I NOINHERIT', c.oid::regclass, session_user) AS fix
FROM pg_class AS c
WHERE c.relnamespace = 'stanchion'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
  AND has_table_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)",
    },
    Check {
        rule: "a table must belong to stanchion_owner",
        query: "
SELECT 'table ' || c.oid::regclass AS object, format('ALTER TABLE %s OWNER TO stanchion_owner', c.oid::regclass) AS fix
FROM pg_class AS c
WHERE c.relnamespace = 'stanchion'::regnamespace AND c.relkind IN ('r', 'p')
  AND pg_get_userbyid(c.relowner) <> 'stanchion_owner'",
    },
    Check {
        rule: "row-level security must be enabled and forced",
        query: "
SELECT 'table ' || c.oid::regclass AS object,
       format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', c.oid::regclass) AS fix
FROM pg_class AS c
WHERE c.relnamespace = 'stanchion'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'migration'
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
    },
    Check {
        rule: "a table without scope_id is not for tenants, and the public has no rights",
        query: "
SELECT format('table %s, for %s', c.oid::regclass, grantee.name) AS object,
       format('REVOKE ALL ON %s FROM %s', c.oid::regclass, grantee.name) AS fix
FROM pg_class AS c
CROSS JOIN LATERAL (
    SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END AS name
    FROM aclexplode(c.relacl) AS acl
) AS grantee
WHERE c.relnamespace = 'stanchion'::regnamespace AND c.relkind IN ('r', 'p')
  AND (grantee.name = 'PUBLIC' OR grantee.name = 'stanchion_tenant' AND NOT EXISTS (
      SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'scope_id' AND NOT a.attisdropped))",
    },
    Check {
        rule: "the one policy for tenants compares scope_id with stanchion.scope(), for what is read and for what is written",
        query: "
SELECT format('policy %s on %s', p.polname, p.polrelid::regclass) AS object,
       format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass) AS fix
FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
WHERE c.relnamespace = 'stanchion'::regnamespace AND p.polpermissive
  AND NOT (
      p.polname = 'tenant' AND p.polcmd = '*' AND p.polroles = ARRAY['stanchion_tenant'::regrole::oid]
      AND pg_get_expr(p.polqual, p.polrelid) = '(scope_id = stanchion.scope())'
      AND pg_get_expr(p.polwithcheck, p.polrelid) = '(scope_id = stanchion.scope())')
  AND NOT (p.polname = 'system' AND p.polroles = ARRAY['stanchion_system'::regrole::oid])
UNION ALL
SELECT 'table ' || c.oid::regclass || ' without its policy',
       format('CREATE POLICY tenant ON %s TO stanchion_tenant USING (scope_id = stanchion.scope()) '
              'WITH CHECK (scope_id = stanchion.scope())', c.oid::regclass)
FROM pg_class AS c
WHERE c.relnamespace = 'stanchion'::regnamespace AND c.relkind IN ('r', 'p')
  AND has_table_privilege('stanchion_tenant', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
  AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'tenant')",
    },
    Check {
        rule: "stanchion.scope() must tell an unset scope as null, of a transaction that came before as well",
        query: "
SELECT 'function stanchion.scope()' AS object, 'restore it as core/0001_create_foundation.sql has it' AS fix
WHERE NOT EXISTS (
    SELECT FROM pg_proc AS f JOIN pg_language AS l ON l.oid = f.prolang
    WHERE f.oid = to_regprocedure('stanchion.scope()') AND NOT f.prosecdef AND l.lanname = 'sql'
      AND pg_get_function_sqlbody(f.oid)
          = 'RETURN (NULLIF(current_setting(''stanchion.scope''::text, true), ''''::text))::uuid')",
    },
    Check {
        rule: "a scope, a role or row_security must not be set for a session, a login or a database",
        query: "
SELECT format('setting %s of %s', split_part(setting, '=', 1),
              coalesce(nullif(r.rolname, ''), d.datname, 'everybody')) AS object,
       format('ALTER %s RESET %s',
              CASE WHEN s.setrole <> 0 THEN format('ROLE %I', r.rolname) ELSE format('DATABASE %I', d.datname) END,
              split_part(setting, '=', 1)) AS fix
FROM pg_db_role_setting AS s
CROSS JOIN LATERAL unnest(s.setconfig) AS setting
LEFT JOIN pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
WHERE split_part(setting, '=', 1) IN ('stanchion.scope', 'role', 'row_security')
  AND (s.setdatabase = 0 OR d.datname = current_database())
  AND (s.setrole = 0 OR r.rolname IN ('stanchion_tenant', 'stanchion_system', session_user))
UNION ALL
SELECT 'scope of this session', 'RESET stanchion.scope'
WHERE nullif(current_setting('stanchion.scope', true), '') IS NOT NULL
UNION ALL
SELECT 'cursor ' || name || ', held beyond its transaction', 'CLOSE ALL' FROM pg_cursors WHERE is_holdable",
    },
    Check {
        rule: "a partition must not be reachable but through its table",
        query: "
SELECT format('partition %s, for %s', i.inhrelid::regclass, role.name) AS object,
       format('REVOKE ALL ON %s FROM %s', i.inhrelid::regclass, role.name) AS fix
FROM pg_inherits AS i
JOIN pg_class AS parent ON parent.oid = i.inhparent
CROSS JOIN (VALUES ('stanchion_tenant'), ('stanchion_system')) AS role (name)
WHERE parent.relnamespace = 'stanchion'::regnamespace AND parent.relkind IN ('r', 'p')
  AND has_table_privilege(role.name, i.inhrelid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
UNION ALL
SELECT 'partition ' || i.inhrelid::regclass || ' outside the schema',
       format('ALTER TABLE %s SET SCHEMA stanchion', i.inhrelid::regclass)
FROM pg_inherits AS i
JOIN pg_class AS parent ON parent.oid = i.inhparent
JOIN pg_class AS child ON child.oid = i.inhrelid
WHERE parent.relnamespace = 'stanchion'::regnamespace AND parent.relkind IN ('r', 'p')
  AND child.relnamespace <> parent.relnamespace",
    },
    Check {
        rule: "a view must run as who asks (security_invoker), and a materialised view of our tables must not be readable",
        query: "
WITH RECURSIVE reads (view, source) AS (
    SELECT DISTINCT w.ev_class, d.refobjid
    FROM pg_rewrite AS w
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
), reaches (view) AS (
    SELECT r.view FROM reads AS r JOIN pg_class AS t ON t.oid = r.source
    WHERE t.relnamespace = 'stanchion'::regnamespace AND t.relkind IN ('r', 'p')
    UNION
    SELECT r.view FROM reads AS r JOIN reaches ON reaches.view = r.source
)
SELECT CASE v.relkind WHEN 'v' THEN 'view ' ELSE 'materialised view ' END || v.oid::regclass AS object,
       CASE v.relkind WHEN 'v' THEN format('ALTER VIEW %s SET (security_invoker = true)', v.oid::regclass)
       ELSE format('REVOKE ALL ON %s FROM PUBLIC, stanchion_tenant, stanchion_system', v.oid::regclass) END AS fix
FROM reaches JOIN pg_class AS v ON v.oid = reaches.view
WHERE v.relkind IN ('v', 'm')
  AND (has_table_privilege('stanchion_tenant', v.oid, 'SELECT') OR has_table_privilege('stanchion_system', v.oid, 'SELECT'))
  AND (v.relkind = 'm' OR NOT coalesce(v.reloptions::text[] && ARRAY['security_invoker=true', 'security_invoker=on'], false))",
    },
    Check {
        rule: "a function that runs as an owner who sees all rows must not be callable from a tenant's transaction",
        query: "
SELECT 'function ' || f.oid::regprocedure AS object,
       format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, stanchion_tenant, stanchion_system', f.oid::regprocedure) AS fix
FROM pg_proc AS f
JOIN pg_roles AS owner ON owner.oid = f.proowner
WHERE f.prosecdef
  AND f.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = f.oid AND deptype = 'e')
  AND (owner.rolsuper OR owner.rolbypassrls
       OR pg_has_role(owner.oid, 'stanchion_owner', 'MEMBER') OR pg_has_role(owner.oid, 'stanchion_system', 'MEMBER'))
  AND (has_function_privilege('stanchion_tenant', f.oid, 'EXECUTE')
       OR has_function_privilege('stanchion_system', f.oid, 'EXECUTE')
          -- Those that make partitions, and drop those of which nothing is to be kept: they take instants, numbers and months, and
          -- return a count.
          AND NOT (f.oid IN (to_regprocedure('stanchion.billing_metering_add_months(timestamptz, timestamptz)'),
                             to_regprocedure('stanchion.audit_add_parts(smallint[], integer[])'),
                             to_regprocedure('stanchion.audit_drop_parts(smallint, integer)'))
                   AND owner.rolname = 'stanchion_owner'
                   AND f.proconfig @> ARRAY['search_path=pg_catalog, pg_temp']))",
    },
    Check {
        rule: "a foreign key must carry the scope: it is checked without row-level security",
        query: "
SELECT format('foreign key %s of %s', k.conname, k.conrelid::regclass) AS object,
       format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS fix
FROM pg_constraint AS k
JOIN pg_attribute AS theirs ON theirs.attrelid = k.confrelid AND theirs.attname = 'scope_id'
WHERE k.contype = 'f' AND k.confrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'stanchion'::regnamespace)
  AND NOT EXISTS (
      SELECT FROM unnest(k.conkey, k.confkey) AS pair (mine, theirs_number)
      JOIN pg_attribute AS mine ON mine.attrelid = k.conrelid AND mine.attnum = pair.mine
      WHERE mine.attname = 'scope_id' AND pair.theirs_number = theirs.attnum)",
    },
    Check {
        rule: "a unique key that tenants write to must begin with scope_id, or its errors tell of other tenants' values",
        query: "
SELECT 'unique index ' || i.indexrelid::regclass AS object, format('DROP INDEX %s', i.indexrelid::regclass) AS fix
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid
WHERE c.relnamespace = 'stanchion'::regnamespace AND c.relkind IN ('r', 'p') AND (i.indisunique OR i.indisexclusion)
  AND has_table_privilege('stanchion_tenant', c.oid, 'SELECT, INSERT, UPDATE, DELETE')
  -- Hashes of 256 bits, which nobody guesses, and ids of events, which tenants only read; see the tables.
  AND i.indexrelid NOT IN (
      coalesce(to_regclass('stanchion.identity_secret_pkey')::oid, 0), coalesce(to_regclass('stanchion.audit_id_pkey')::oid, 0))
  AND NOT EXISTS (
      SELECT FROM pg_attribute AS a
      WHERE a.attrelid = c.oid AND a.attnum = i.indkey[0] AND a.attname = 'scope_id')",
    },
];
