-- What has expired is looked for over all scopes, a few at a time.
CREATE INDEX rbac_session_expired ON stanchion.rbac_session (expires_at);
CREATE INDEX rbac_assignment_expired ON stanchion.rbac_assignment (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX rbac_grant_expired ON stanchion.rbac_grant (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX rbac_membership_expired ON stanchion.rbac_membership (expires_at) WHERE expires_at IS NOT NULL;
