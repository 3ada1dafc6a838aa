-- Who may do something is found by the permissions that cover it; of each, subjects come in their order.
CREATE INDEX rbac_grant_permission ON stanchion.rbac_grant (scope_id, permission, subject, resource);
