mod protection;

use http::Method;
use serde_json::{Map, Value, json};

use crate::admin::args::{Output, Scoped, Session};
use crate::admin::view::{self, View};
use crate::admin::what::{Audit, ExportFormat, Hold, Limit, Override, Quarantine, Usage, Wanted};
use crate::admin::who::{Assign, Key, Role, Tenant};

/// What a command asks of the admin API. Making it takes no server, so that what each command asks can be read and tested.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) session: Session,
    /// The tenant that is meant, by slug or id.
    pub(crate) tenant: Option<String>,
    pub(crate) request: Request,
    /// How many items of a list are wanted; none for what is no list.
    pub(crate) items: Option<usize>,
    pub(crate) view: View,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The segments of the path after `/v1`.
    pub(crate) path: Vec<Segment>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) guard: Guard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Part of the API.
    Fixed(&'static str),
    /// What somebody has typed.
    Given(String),
    /// The id of the tenant that is meant.
    Tenant,
}

/// What must be known of the resource before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing.
    None,
    /// That it is still what was read just before.
    Unchanged,
    /// The same, or that it is still not there.
    UnchangedOrAbsent,
}

impl Request {
    pub(super) fn new(method: Method, path: impl Into<Vec<Segment>>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None, guard: Guard::None }
    }

    /// Reads what a path names.
    pub(super) fn get(path: impl Into<Vec<Segment>>) -> Self {
        Self::new(Method::GET, path)
    }

    fn all(method: Method, group: &'static str) -> Self {
        Self::new(method, [Segment::Fixed(group)])
    }

    fn one(method: Method, group: &'static str, id: String) -> Self {
        Self::new(method, [Segment::Fixed(group), Segment::Given(id)])
    }

    fn asking(mut self, name: &'static str, value: Option<String>) -> Self {
        self.query.extend(value.map(|value| (name, value)));
        self
    }

    /// Asks for certain entries of the ledger only.
    fn wanting(self, wanted: Wanted) -> Self {
        self.asking("class", wanted.class)
            .asking("action", wanted.action)
            .asking("actor", wanted.actor)
            .asking("target", wanted.target)
            .asking("outcome", wanted.outcome)
            .asking("category", wanted.category)
            .asking("severity", wanted.severity)
            .asking("request", wanted.request)
            .asking("session", wanted.session)
            .asking("trace", wanted.trace)
            .asking("type", wanted.event_type)
            .asking("text", wanted.text)
            .asking("since", wanted.since)
            .asking("until", wanted.until)
    }

    /// Adds a body; what is null was not given and is left out.
    fn with(self, body: Value) -> Self {
        let given =
            |fields: Map<String, Value>| fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let body = match body {
            Value::Object(fields) => Value::Object(given(fields)),
            other => other,
        };
        Self { body: Some(body), ..self }
    }

    fn guarded(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    fn shown(self, scoped: Scoped, view: View) -> Plan {
        Plan { session: scoped.session, tenant: scoped.tenant, request: self, items: None, view }
    }

    fn listed(self, scoped: Scoped, limit: usize, view: View) -> Plan {
        Plan { session: scoped.session, tenant: scoped.tenant, request: self, items: Some(limit), view }
    }
}

fn platform(session: Session) -> Scoped {
    Scoped { tenant: None, session }
}

fn one_tenant(session: Session, tenant: String) -> Scoped {
    Scoped { tenant: Some(tenant), session }
}

fn tenant_path(step: Option<&'static str>) -> Vec<Segment> {
    [Segment::Fixed("tenants"), Segment::Tenant].into_iter().chain(step.map(Segment::Fixed)).collect()
}

impl From<Tenant> for Plan {
    fn from(command: Tenant) -> Self {
        match command {
            Tenant::List { listed, session } => Request::all(Method::GET, "tenants").listed(
                platform(session),
                listed.limit,
                View::Table(view::TENANTS),
            ),
            Tenant::Show { tenant, session } => {
                Request::new(Method::GET, tenant_path(None)).shown(one_tenant(session, tenant), View::Fields)
            }
            Tenant::Create { slug, name, tier, session } => Request::all(Method::POST, "tenants")
                .with(json!({ "slug": slug, "name": name, "tier": tier }))
                .shown(platform(session), View::Fields),
            Tenant::Update { tenant, name, tier, session } => Request::new(Method::PATCH, tenant_path(None))
                .with(json!({ "name": name, "tier": tier }))
                .guarded(Guard::Unchanged)
                .shown(one_tenant(session, tenant), View::Fields),
            Tenant::Suspend { tenant, reason, session } => {
                Request::new(Method::POST, tenant_path(Some("suspend")))
                    .with(json!({ "reason": reason }))
                    .shown(one_tenant(session, tenant), View::Fields)
            }
            Tenant::Resume { tenant, reason, session } => {
                Request::new(Method::POST, tenant_path(Some("resume")))
                    .with(json!({ "reason": reason }))
                    .shown(one_tenant(session, tenant), View::Fields)
            }
        }
    }
}

impl From<Key> for Plan {
    fn from(command: Key) -> Self {
        match command {
            Key::List { listed, scoped } => {
                Request::all(Method::GET, "keys").listed(scoped, listed.limit, View::Table(view::KEYS))
            }
            Key::Show { id, scoped } => Request::one(Method::GET, "keys", id).shown(scoped, View::Fields),
            Key::Create { subject, name, environment, expires_at, cidr, scoped, .. } => {
                Request::all(Method::POST, "keys")
                    .with(json!({
                        "subject": subject,
                        "name": name,
                        "environment": environment,
                        "expires_at": expires_at,
                        "cidrs": cidr,
                    }))
                    .shown(scoped, View::Fields)
            }
            Key::Rotate { id, grace, scoped } => {
                let path = [Segment::Fixed("keys"), Segment::Given(id), Segment::Fixed("rotate")];
                Request::new(Method::POST, path)
                    .with(json!({ "grace_seconds": grace }))
                    .shown(scoped, View::Fields)
            }
            Key::Revoke { id, scoped } => {
                Request::one(Method::DELETE, "keys", id).shown(scoped, View::Done("revoked"))
            }
        }
    }
}

impl From<Role> for Plan {
    fn from(command: Role) -> Self {
        match command {
            Role::List { listed, scoped } => {
                Request::all(Method::GET, "roles").listed(scoped, listed.limit, View::Table(view::ROLES))
            }
            Role::Show { id, scoped } => Request::one(Method::GET, "roles", id).shown(scoped, View::Fields),
            Role::Put { id, name, description, permission, include, scoped } => {
                Request::one(Method::PUT, "roles", id)
                    .with(json!({
                        "name": name,
                        "description": description,
                        "permissions": permission,
                        "includes": include,
                    }))
                    .guarded(Guard::UnchangedOrAbsent)
                    .shown(scoped, View::Fields)
            }
            Role::Delete { id, scoped } => {
                Request::one(Method::DELETE, "roles", id).shown(scoped, View::Done("deleted"))
            }
            Role::Check { subject, permission, scoped } => Request::all(Method::POST, "check")
                .with(json!({ "subject": subject, "permission": permission }))
                .shown(scoped, View::Allowed),
        }
    }
}

impl From<Assign> for Plan {
    fn from(command: Assign) -> Self {
        match command {
            Assign::List { subject, role, listed, scoped } => Request::all(Method::GET, "assignments")
                .asking("subject", subject)
                .asking("role", role)
                .listed(scoped, listed.limit, View::Table(view::ASSIGNMENTS)),
            Assign::Create { subject, role, expires_at, reason, scoped } => Request::all(
                Method::POST,
                "assignments",
            )
            .with(json!({ "subject": subject, "role": role, "expires_at": expires_at, "reason": reason }))
            .shown(scoped, View::Fields),
            Assign::Delete { subject, role, scoped } => Request::all(Method::DELETE, "assignments")
                .asking("subject", Some(subject))
                .asking("role", Some(role))
                .shown(scoped, View::Done("taken away")),
        }
    }
}

impl From<Limit> for Plan {
    fn from(command: Limit) -> Self {
        match command {
            Limit::List { listed, scoped } => {
                Request::all(Method::GET, "limits").listed(scoped, listed.limit, View::Table(view::LIMITS))
            }
            Limit::Show { id, scoped } => Request::one(Method::GET, "limits", id).shown(scoped, View::Fields),
            Limit::Put {
                id,
                by,
                limit,
                window,
                burst,
                algorithm,
                action,
                max_delay_ms,
                quarantine_seconds,
                rung: rungs,
                when,
                route,
                label,
                shadow,
                scoped,
            } => {
                let rung = |(violations, action)| json!({ "violations": violations, "action": action });
                let ladder: Vec<Value> = rungs.into_iter().map(rung).collect();
                let conditions: Vec<Value> = when.into_iter().map(condition).collect();
                Request::one(Method::PUT, "limits", id)
                    .with(json!({
                        "key": by,
                        "limit": limit.to_string(),
                        "window": window,
                        "burst": burst.to_string(),
                        "algorithm": algorithm,
                        "action": action,
                        "max_delay_ms": max_delay_ms,
                        "quarantine_seconds": quarantine_seconds,
                        "ladder": ladder,
                        "conditions": conditions,
                        "routes": route,
                        "labels": label,
                        "shadow": shadow,
                    }))
                    .guarded(Guard::UnchangedOrAbsent)
                    .shown(scoped, View::Fields)
            }
            Limit::Delete { id, scoped } => {
                Request::one(Method::DELETE, "limits", id).shown(scoped, View::Done("deleted"))
            }
            Limit::Reset { id, caller, all, scoped } => Request::new(Method::POST, limits("reset"))
                .with(json!({ "limit": id, "identifiers": caller, "all": all.then_some(true) }))
                .shown(scoped, View::Done("begun anew")),
            Limit::Violations { of, caller, since, until, listed, scoped } => {
                Request::new(Method::GET, limits("violations"))
                    .asking("limit_id", of)
                    .asking("identifier", caller)
                    .asking("from", since)
                    .asking("until", until)
                    .listed(scoped, listed.limit, View::Table(view::VIOLATIONS))
            }
            Limit::Stats { scoped } => {
                Request::new(Method::GET, limits("stats")).shown(scoped, View::LimitStats)
            }
            Limit::Explain { subject, api_key, ip, route, attribute, cost, scoped } => {
                let attributes: Map<String, Value> =
                    attribute.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
                Request::new(Method::POST, limits("explain"))
                    .with(json!({
                        "subject": subject,
                        "key": api_key,
                        "ip": ip,
                        "route": route,
                        "attributes": attributes,
                        "cost": cost.to_string(),
                    }))
                    .shown(scoped, View::Limits)
            }
            Limit::Override(command) => command.into(),
            Limit::Quarantine(command) => command.into(),
        }
    }
}

fn limits(what: &'static str) -> [Segment; 2] {
    [Segment::Fixed("limits"), Segment::Fixed(what)]
}

/// A condition as it was typed: one value, or several with commas.
fn condition((name, value): (String, String)) -> Value {
    if value.contains(',') {
        let values: Vec<&str> = value.split(',').collect();
        json!({ "attribute": name, "one_of": values })
    } else {
        json!({ "attribute": name, "equals": value })
    }
}

impl From<Override> for Plan {
    fn from(command: Override) -> Self {
        let all = |method| Request::new(method, limits("overrides"));
        match command {
            Override::List { listed, scoped } => {
                all(Method::GET).listed(scoped, listed.limit, View::Table(view::OVERRIDES))
            }
            Override::Put { id, caller, limit, burst, expires_at, reason, scoped } => all(Method::POST)
                .with(json!({
                    "limit_id": id,
                    "identifiers": caller,
                    "limit": limit.to_string(),
                    "burst": burst.to_string(),
                    "expires_at": expires_at,
                    "reason": reason,
                }))
                .shown(scoped, View::Fields),
            Override::Delete { id, caller, scoped } => all(Method::DELETE)
                .asking("limit_id", Some(id))
                .asking("identifiers", Some(caller))
                .shown(scoped, View::Done("taken away")),
        }
    }
}

impl From<Quarantine> for Plan {
    fn from(command: Quarantine) -> Self {
        let all = |method| Request::new(method, limits("quarantines"));
        match command {
            Quarantine::List { listed, scoped } => {
                all(Method::GET).listed(scoped, listed.limit, View::Table(view::QUARANTINES))
            }
            Quarantine::Put { caller, seconds, reason, scoped } => all(Method::POST)
                .with(json!({ "identifiers": caller, "seconds": seconds, "reason": reason }))
                .shown(scoped, View::Fields),
            Quarantine::Lift { caller, scoped } => all(Method::DELETE)
                .asking("identifiers", Some(caller))
                .shown(scoped, View::Done("let in again")),
        }
    }
}

impl Plan {
    /// Makes the plan of a command on usage; `month` is the one that is meant when none is named.
    pub(crate) fn usage(command: Usage, month: &str) -> Self {
        let Usage::Show { period, from, to, meter, scoped } = command;
        let period = if from.is_some() { None } else { Some(period.unwrap_or_else(|| month.to_owned())) };
        Request::all(Method::GET, "usage")
            .asking("period", period)
            .asking("from", from)
            .asking("to", to)
            .asking("meter", meter)
            .shown(scoped, View::Usage)
    }
}

impl From<Audit> for Plan {
    fn from(command: Audit) -> Self {
        let path = |last| [Segment::Fixed("audit"), Segment::Fixed(last)];
        match command {
            Audit::Query { wanted, all_tenants: true, listed, scoped, .. } => Request::new(
                Method::GET,
                path("events/all"),
            )
            .wanting(wanted)
            .listed(platform(scoped.session), listed.limit, View::Table(view::ENTRIES)),
            Audit::Query { wanted, proofs, unseal, listed, mut scoped, .. } => {
                if proofs {
                    scoped.session.output = Output::Json;
                }
                Request::new(Method::GET, path("events"))
                    .wanting(wanted)
                    .asking("proofs", proofs.then(|| "true".to_owned()))
                    .asking("unseal", unseal.then(|| "true".to_owned()))
                    .listed(scoped, listed.limit, View::Table(view::ENTRIES))
            }
            Audit::Tail { wanted, lines, scoped, .. } => Request::new(Method::GET, path("tail"))
                .wanting(wanted)
                .asking("limit", Some(lines.to_string()))
                .shown(scoped, View::Table(view::ENTRIES)),
            Audit::Actions { scoped } => {
                Request::new(Method::GET, path("actions")).shown(scoped, View::Table(view::ACTIONS))
            }
            Audit::Find(command) => command.into(),
            Audit::Erase(command) => command.into(),
            Audit::Exception(command) => command.into(),
            Audit::Retention { scoped } => {
                Request::new(Method::GET, path("retention")).shown(scoped, View::Table(view::RETENTION))
            }
            Audit::Archive { session } => {
                Request::new(Method::POST, path("retention")).shown(platform(session), View::Round)
            }
            Audit::Hold(hold) => hold.into(),
            Audit::Checkpoints { scoped } => {
                Request::new(Method::GET, path("checkpoints")).shown(scoped, View::Table(view::CHECKPOINTS))
            }
            Audit::Prove { event, scoped } => {
                let path = [Segment::Fixed("audit"), Segment::Fixed("proofs"), Segment::Fixed("inclusion")];
                Request::new(Method::GET, path)
                    .asking("event", Some(event))
                    .shown(scoped, View::Text("/proof"))
            }
            Audit::Export { wanted, format, scoped, .. } => Request::new(Method::GET, path("export"))
                .wanting(wanted)
                .asking("format", (format == ExportFormat::Ocsf).then(|| "ocsf".to_owned()))
                .shown(scoped, View::Fields),
            Audit::Verify { scoped, .. } => {
                Request::new(Method::GET, path("verification")).shown(scoped, View::Verification)
            }
        }
    }
}

impl From<Hold> for Plan {
    fn from(command: Hold) -> Self {
        let path = [Segment::Fixed("audit"), Segment::Fixed("holds")];
        match command {
            Hold::Put { scope, class, reason, until, session } => Request::new(Method::POST, path)
                .with(json!({ "scope": scope, "class": class, "reason": reason, "until": until }))
                .shown(platform(session), View::Fields),
            Hold::List { scope, session } => Request::new(Method::GET, path)
                .asking("scope", Some(scope))
                .shown(platform(session), View::Table(view::HOLDS)),
            Hold::Lift { id, scope, session } => Request::new(Method::DELETE, path)
                .asking("scope", Some(scope))
                .asking("id", Some(id))
                .shown(platform(session), View::Fields),
        }
    }
}
