//! The table of actions that are known without anybody's doing.

use std::collections::BTreeMap;

use stanchion_core::Category::{self, Access, Administration, Authentication, DataAccess, Security, System};
use stanchion_core::Text;

use super::{ActionType, Origin};

type Line = (&'static str, Category, &'static str, Option<&'static str>);

/// What Stanchion records, and nobody else may report.
const OWN: &[Line] = &[
    ("access.denied", Access, "A permission was refused to somebody", Some("permission_denied")),
    ("access.permitted", Access, "A permission was looked for and was there", None),
    ("assignment.put", Administration, "A role was assigned", Some("role_assigned")),
    ("assignment.revoke", Administration, "A role was taken away", None),
    ("audit.archived", Security, "Entries of the ledger were archived", None),
    (
        "audit.anchor_conflict",
        Security,
        "An anchor holds what the log does not lead to",
        Some("security_violation"),
    ),
    ("audit.anchor_late", Security, "Checkpoints do not reach an anchor", None),
    (
        "audit.chain_broken",
        Security,
        "A chain of the ledger is not what was signed for",
        Some("security_violation"),
    ),
    ("audit.checkpointed", Security, "Chains were covered by checkpoints", None),
    ("audit.configured", Security, "Settings of the audit were changed", Some("config_changed")),
    ("audit.entries_lost", Security, "Entries of the ledger are gone", Some("security_violation")),
    ("audit.events_refused", Security, "Events that were made were not recorded", None),
    ("audit.exception_lifted", Administration, "Something may be erased again", Some("config_changed")),
    ("audit.exception_put", Administration, "Something was excepted from erasure", Some("config_changed")),
    ("audit.hold_lifted", Administration, "A legal hold was lifted", Some("config_changed")),
    ("audit.hold_placed", Administration, "A legal hold was placed", Some("config_changed")),
    ("audit.id_reused", Security, "The id of an event was used for another one", Some("suspicious_activity")),
    ("audit.key_rotated", Security, "A key of the ledger took another's place", Some("config_changed")),
    ("audit.queried_across", DataAccess, "Entries of all tenants were looked for", Some("data_read")),
    ("audit.retention_applied", Security, "Entries whose time is over were dropped", Some("data_deleted")),
    ("audit.searched", DataAccess, "Protected values were searched for", Some("data_read")),
    ("audit.started", Security, "A process began to write to the ledger", None),
    ("audit.stopped", Security, "A process has ended its work on the ledger", None),
    (
        "audit.subject_erased",
        Administration,
        "What was protected for somebody was erased",
        Some("data_anonymization"),
    ),
    ("audit.unsealed", DataAccess, "Protected values were opened", Some("data_read")),
    ("denial.lift", Administration, "A permission is no longer denied", Some("permission_granted")),
    ("denial.put", Administration, "A permission was denied to somebody", None),
    ("grant.approved", Administration, "A grant in an emergency was approved", Some("permission_granted")),
    ("grant.put", Administration, "A permission was granted to somebody", Some("permission_granted")),
    ("grant.revoke", Administration, "A grant was taken back", None),
    ("key.issue", Administration, "An API key was issued", Some("config_changed")),
    ("key.revoke", Administration, "An API key was revoked", Some("config_changed")),
    ("key.rotate", Administration, "An API key was given another secret", Some("config_changed")),
    ("key.update", Administration, "An API key was changed", Some("config_changed")),
    ("limit.counting_failed", System, "Limits could not be counted", None),
    ("limit.counting_resumed", System, "Limits are counted again", None),
    ("limit.delete", Administration, "A rate limit was deleted", Some("config_changed")),
    ("limit.exceeded", Security, "A rate limit was exceeded", None),
    ("limit.near", Access, "A rate limit is nearly reached", None),
    ("limit.override", Administration, "A caller was given a limit of its own", Some("config_changed")),
    ("limit.override_lifted", Administration, "A caller has the common limit again", Some("config_changed")),
    ("limit.put", Administration, "A rate limit was set", Some("config_changed")),
    ("limit.quarantine", Administration, "A caller was put under quarantine", Some("config_changed")),
    ("limit.quarantine_lifted", Administration, "A quarantine was lifted", Some("config_changed")),
    ("limit.reset", Administration, "The counters of a limit were begun anew", Some("config_changed")),
    ("membership.delete", Administration, "A subject was taken out of a group", None),
    ("membership.put", Administration, "A subject was put into a group", Some("permission_granted")),
    ("operation.denied", Access, "An operation of the admin API was refused", Some("permission_denied")),
    ("request.completed", Access, "A request ended whose decision was recorded before", None),
    ("request.decided", Access, "A request was decided", None),
    ("request.rejected", Access, "Requests of callers that nobody knows were refused", None),
    ("role.delete", Administration, "A role was deleted", Some("config_changed")),
    ("role.put", Administration, "A role was written", Some("permission_granted")),
    ("separation.delete", Administration, "Roles are kept apart no longer", Some("config_changed")),
    ("separation.put", Administration, "Roles were kept apart", Some("config_changed")),
    ("session.changed", Access, "Other roles are active in a session", None),
    ("session.created", Access, "A session began", None),
    ("session.ended", Access, "A session ended", None),
    ("tenant.create", Administration, "A tenant was created", Some("config_changed")),
    ("tenant.resume", Administration, "A tenant is served again", Some("config_changed")),
    ("tenant.suspend", Administration, "A tenant is no longer served", Some("config_changed")),
    ("tenant.update", Administration, "A tenant was changed", Some("config_changed")),
];

/// What programs report, in the words that everybody uses for it.
const COMMON: &[Line] = &[
    ("config.changed", Administration, "A configuration was changed", Some("config_changed")),
    ("consent.recorded", Administration, "Somebody gave consent", Some("consent_recorded")),
    ("consent.withdrawn", Administration, "Somebody withdrew consent", Some("consent_withdrawn")),
    ("data.anonymized", Administration, "Data was made anonymous", Some("data_anonymization")),
    ("data.created", DataAccess, "Protected data was created", Some("data_created")),
    ("data.deleted", DataAccess, "Protected data was deleted", Some("data_deleted")),
    ("data.exported", DataAccess, "Protected data was exported", Some("data_export")),
    ("data.read", DataAccess, "Protected data was read", Some("data_read")),
    ("data.updated", DataAccess, "Protected data was changed", Some("data_updated")),
    ("permission.denied", Security, "Something was refused to somebody", Some("permission_denied")),
    ("permission.granted", Administration, "Somebody was given a permission", Some("permission_granted")),
    (
        "retention_policy.applied",
        Administration,
        "A retention policy was applied",
        Some("retention_policy_applied"),
    ),
    ("role.assigned", Administration, "A role was assigned", Some("role_assigned")),
    (
        "security.suspicious_activity",
        Security,
        "Something looked like an attack",
        Some("suspicious_activity"),
    ),
    ("security.violation", Security, "A protection was broken or evaded", Some("security_violation")),
    ("user.login", Authentication, "Somebody signed in", Some("login")),
    ("user.login_failed", Authentication, "Somebody failed to sign in", Some("login_failed")),
    ("user.logout", Authentication, "Somebody signed out", Some("logout")),
    ("user.mfa_enabled", Authentication, "Somebody took a second factor into use", Some("mfa_enabled")),
];

pub(super) fn all() -> impl Iterator<Item = ActionType> {
    let typed = |origin| {
        move |&(action, category, title, event_type): &Line| {
            let (action, title) = (Text::Static(action), Text::Static(title));
            ActionType {
                action,
                category,
                title,
                event_type: event_type.map(Text::Static),
                origin,
                schemas: BTreeMap::new(),
            }
        }
    };
    OWN.iter().map(typed(Origin::Own)).chain(COMMON.iter().map(typed(Origin::Reported)))
}
