//! Which class of OCSF an event is: one table, by action, then by what the action counts as, then by category.

use stanchion_core::{Category, Event};

/// A class of OCSF 1.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) uid: u32,
    pub(super) name: &'static str,
    /// What the class asks for and other classes may not have.
    pub(super) parts: &'static [Part],
}

/// A part of an event of OCSF that not every class has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Actor,
    Api,
    Application,
    Bucket,
    Entity,
    Finding,
    Group,
    HttpRequest,
    LogName,
    Privileges,
    Resources,
    Service,
    Session,
    SourceIfKnown,
    Source,
    User,
}

use Part::{
    Actor, Api, Application, Bucket, Entity, Finding, Group, HttpRequest, LogName, Privileges, Resources,
    Service, Session, Source, SourceIfKnown, User,
};

pub(super) const BASE: Class = Class { uid: 0, name: "Base Event", parts: &[] };
const FINDING: Class = Class { uid: 2004, name: "Detection Finding", parts: &[Finding, Resources] };
const ACCOUNT: Class =
    Class { uid: 3001, name: "Account Change", parts: &[Actor, HttpRequest, SourceIfKnown, User] };
const AUTHENTICATION: Class = Class {
    uid: 3002,
    name: "Authentication",
    parts: &[Actor, HttpRequest, Service, Session, SourceIfKnown, User],
};
const SESSION: Class = Class {
    uid: 3003,
    name: "Authorize Session",
    parts: &[Actor, HttpRequest, Privileges, Session, SourceIfKnown, User],
};
const ENTITY: Class =
    Class { uid: 3004, name: "Entity Management", parts: &[Actor, Entity, HttpRequest, SourceIfKnown] };
const ACCESS: Class = Class {
    uid: 3005,
    name: "User Access Management",
    parts: &[Actor, HttpRequest, Privileges, Resources, SourceIfKnown, User],
};
const GROUP: Class =
    Class { uid: 3006, name: "Group Management", parts: &[Actor, Group, HttpRequest, SourceIfKnown] };
const API: Class =
    Class { uid: 6003, name: "API Activity", parts: &[Actor, Api, HttpRequest, Resources, Source] };
const DATA: Class =
    Class { uid: 6005, name: "Datastore Activity", parts: &[Actor, Bucket, HttpRequest, Source] };
const LOG: Class = Class { uid: 1008, name: "Event Log Activity", parts: &[Actor, LogName, SourceIfKnown] };
const LIFECYCLE: Class = Class { uid: 6002, name: "Application Lifecycle", parts: &[Application] };

/// What was done, as the class numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Is(u32),
    /// What the HTTP method of the request says.
    OfMethod,
}

use Activity::{Is, OfMethod};

const OTHER: u32 = 99;

/// Actions, or with `.*` at the end all below one; the first that matches counts. The numbers are those of the activities of the class.
const BY_ACTION: &[(&str, Class, Activity)] = &[
    ("assignment.put", ACCESS, Is(1)),
    ("assignment.revoke", ACCESS, Is(2)),
    ("audit.chain_broken", FINDING, Is(1)),
    ("audit.entries_lost", FINDING, Is(1)),
    ("audit.export_begun", LOG, Is(3)),
    ("audit.exported", LOG, Is(3)),
    ("audit.id_reused", FINDING, Is(1)),
    ("audit.*", LOG, Is(OTHER)),
    ("config.*", ENTITY, Is(3)),
    ("data.anonymized", DATA, Is(2)),
    ("data.created", DATA, Is(6)),
    ("data.deleted", DATA, Is(7)),
    ("data.exported", DATA, Is(1)),
    ("data.read", DATA, Is(1)),
    ("data.updated", DATA, Is(2)),
    ("denial.lift", ACCESS, Is(1)),
    ("denial.put", ACCESS, Is(2)),
    ("group.created", GROUP, Is(6)),
    ("group.deleted", GROUP, Is(5)),
    ("group.member_added", GROUP, Is(3)),
    ("group.member_removed", GROUP, Is(4)),
    ("key.issue", ENTITY, Is(1)),
    ("key.revoke", ENTITY, Is(11)),
    ("key.rotate", ENTITY, Is(3)),
    ("key.update", ENTITY, Is(3)),
    ("limit.counting_failed", LIFECYCLE, Is(7)),
    ("limit.counting_resumed", LIFECYCLE, Is(6)),
    ("limit.delete", ENTITY, Is(4)),
    ("limit.exceeded", FINDING, Is(1)),
    ("limit.near", API, Is(OTHER)),
    ("limit.quarantine", ENTITY, Is(9)),
    ("limit.quarantine_lifted", ENTITY, Is(8)),
    ("limit.*", ENTITY, Is(3)),
    ("operation.denied", API, OfMethod),
    ("permission.denied", API, Is(OTHER)),
    ("permission.granted", ACCESS, Is(1)),
    ("request.*", API, OfMethod),
    ("role.assigned", ACCESS, Is(1)),
    ("role.delete", GROUP, Is(5)),
    ("role.put", GROUP, Is(1)),
    ("security.*", FINDING, Is(1)),
    ("session.authorized", SESSION, Is(1)),
    ("session.*", AUTHENTICATION, Is(OTHER)),
    ("tenant.create", ENTITY, Is(1)),
    ("tenant.resume", ENTITY, Is(13)),
    ("tenant.suspend", ENTITY, Is(12)),
    ("tenant.update", ENTITY, Is(3)),
    ("user.created", ACCOUNT, Is(1)),
    ("user.deleted", ACCOUNT, Is(6)),
    ("user.disabled", ACCOUNT, Is(5)),
    ("user.enabled", ACCOUNT, Is(2)),
    ("user.locked", ACCOUNT, Is(9)),
    ("user.login", AUTHENTICATION, Is(1)),
    ("user.login_failed", AUTHENTICATION, Is(1)),
    ("user.logout", AUTHENTICATION, Is(2)),
    ("user.mfa_disabled", ACCOUNT, Is(11)),
    ("user.mfa_enabled", ACCOUNT, Is(10)),
    ("user.password_changed", ACCOUNT, Is(3)),
    ("user.password_reset", ACCOUNT, Is(4)),
    ("user.unlocked", ACCOUNT, Is(12)),
];

/// What an event is of whose action the table knows nothing.
const fn of_category(category: Category) -> Class {
    match category {
        Category::Access | Category::Billing => API,
        Category::Authentication => AUTHENTICATION,
        Category::Administration => ENTITY,
        Category::Security => FINDING,
        Category::DataAccess => DATA,
        Category::System => LIFECYCLE,
    }
}

/// Returns the class of an event and the number of its activity.
pub(super) fn of(event: &Event) -> (Class, u32) {
    let action = event.action.as_str();
    let is_meant = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => action.starts_with(prefix),
        None => action == pattern,
    };
    let row = BY_ACTION.iter().find(|(pattern, ..)| is_meant(pattern));
    match row {
        Some((_, class, Is(activity))) => (*class, *activity),
        Some((_, class, OfMethod)) => (*class, of_method(event)),
        None => (of_category(event.category), OTHER),
    }
}

fn of_method(event: &Event) -> u32 {
    let method = match event.details.get("method") {
        Some(stanchion_core::Detail::Text(method)) => method.as_str(),
        _ => "",
    };
    match method {
        "POST" => 1,
        "GET" | "HEAD" | "OPTIONS" => 2,
        "PUT" | "PATCH" => 3,
        "DELETE" => 4,
        _ => OTHER,
    }
}

/// The classes in the table, for tests.
#[cfg(test)]
pub(super) const ALL: [Class; 12] =
    [BASE, LOG, FINDING, ACCOUNT, AUTHENTICATION, SESSION, ENTITY, ACCESS, GROUP, LIFECYCLE, API, DATA];

/// The actions of the table, for tests.
#[cfg(test)]
pub(super) fn actions() -> impl Iterator<Item = String> {
    BY_ACTION.iter().map(|(pattern, ..)| pattern.replace('*', "anything"))
}
