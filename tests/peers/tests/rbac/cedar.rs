use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use stanchion_core::{SubjectKind, SubjectRef};
use stanchion_rbac::{
    Constraint, Equality, Operand, Permission, PermissionScope, Resource, ResourceSelector, RoleId, Rule,
    SubjectProfile, Value,
};

use crate::casbin::node;
use crate::draw::{Drawn, Question, counts};

/// Policies and entities that say what a drawn world says.
pub(crate) struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
}

impl Cedar {
    pub(crate) fn new(drawn: &Drawn) -> Self {
        let mut text = String::new();
        let mut parents: HashMap<EntityUid, HashSet<EntityUid>> = HashMap::new();
        let mut link = |from: EntityUid, to: Option<EntityUid>| {
            parents.entry(from).or_default().extend(to);
        };
        let mut resources = Vec::new();
        for (number, tenant) in drawn.tenants.iter().enumerate() {
            let role_uid =
                |by_platform, role: &RoleId| uid("Role", &format!("t{number}/{}", node(by_platform, role)));
            for (by_platform, role) in tenant.all_roles(&drawn.platform).filter(|(_, role)| role.active) {
                let from = role_uid(by_platform, &role.id);
                link(from.clone(), None);
                for permission in &role.permissions {
                    let mut conditions = vec![reaches(permission.scope())];
                    conditions.extend(role.constraints.iter().map(holds));
                    policy(&mut text, "permit", &from, number, permission, &conditions, None);
                }
                for included in &role.includes {
                    if let Some((to, included)) = tenant.meant(&drawn.platform, by_platform, included) {
                        link(from.clone(), Some(role_uid(to, &included.id)));
                    }
                }
            }
            for held in tenant.assignments.iter().filter(|one| counts(one.not_before, one.expires_at)) {
                if let Some((to, role)) = tenant.meant(&drawn.platform, false, &held.role) {
                    link(subject(&held.subject, number), Some(role_uid(to, &role.id)));
                }
            }
            for membership in tenant.memberships.iter().filter(|one| counts(one.not_before, one.expires_at)) {
                link(subject(&membership.member, number), Some(subject(&membership.group, number)));
            }
            for grant in tenant.grants.iter().filter(|one| counts(one.not_before, one.expires_at)) {
                let mut conditions = vec![reaches(grant.permission.scope())];
                conditions.extend(grant.constraints.iter().map(holds));
                conditions.extend(grant.resource.as_ref().map(|selector| selects(selector, number)));
                let whose = subject(&grant.subject, number);
                policy(&mut text, "permit", &whose, number, &grant.permission, &conditions, None);
            }
            for denial in &tenant.denials {
                // What is asked for everywhere is asked for there too.
                let selects = |selector| format!("{} || resource has whole", selects(selector, number));
                let conditions: Vec<_> = denial.resource.as_ref().map(selects).into_iter().collect();
                let whose = subject(&denial.subject, number);
                let outside = outside(denial.permission.scope());
                policy(&mut text, "forbid", &whose, number, &denial.permission, &conditions, outside);
            }
            resources.push(Entity::new_no_attrs(uid("Tenant", &format!("t{number}")), HashSet::new()));
            resources.push(of_resource(number, None));
            resources.extend(tenant.resources.iter().map(|resource| of_resource(number, Some(resource))));
        }
        for (user, profile) in &drawn.users {
            let parents = parents.remove(&subject(user, 0)).unwrap_or_default();
            resources.push(Entity::new(subject(user, 0), of_profile(profile), parents).unwrap());
        }
        resources.extend(parents.into_iter().map(|(one, parents)| Entity::new_no_attrs(one, parents)));
        let policies = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let entities = Entities::from_entities(resources, None).unwrap();
        Self { authorizer: Authorizer::new(), policies, entities }
    }

    pub(crate) fn check(&self, question: &Question<'_>) -> bool {
        let (kind, verb) = (question.permission.resource(), question.permission.action());
        let context = [("kind", kind), ("verb", verb)];
        let context = context.map(|(name, value)| (name.to_owned(), string(value)));
        let request = Request::new(
            subject(question.user, question.tenant),
            uid("Action", question.permission.as_str()),
            resource(question.tenant, question.resource),
            Context::from_pairs(context).unwrap(),
            None,
        );
        let response = self.authorizer.is_authorized(&request.unwrap(), &self.policies, &self.entities);
        assert_eq!(response.diagnostics().errors().count(), 0, "{:?}", response.diagnostics());
        response.decision() == Decision::Allow
    }
}

/// Writes a policy: of whom, in which tenant, of what, if all of the conditions hold, unless something does.
fn policy(
    text: &mut String,
    effect: &str,
    whose: &EntityUid,
    tenant: usize,
    permission: &Permission,
    conditions: &[String],
    unless: Option<String>,
) {
    let (kind, verb) = (permission.resource(), permission.action());
    let exact = !kind.ends_with('*') && !verb.ends_with('*');
    let action = if exact { format!("action == Action::\"{kind}:{verb}\"") } else { "action".to_owned() };
    let mut conditions = conditions.to_vec();
    if !exact {
        conditions.push(format!("context.kind like \"{kind}\" && context.verb like \"{verb}\""));
    }
    write!(text, "{effect}(principal in {whose}, {action}, resource in Tenant::\"t{tenant}\")").unwrap();
    conditions.iter().for_each(|condition| write!(text, " when {{ {condition} }}").unwrap());
    unless.iter().for_each(|condition| write!(text, " unless {{ {condition} }}").unwrap());
    text.push_str(";\n");
}

const OWN: &str = "(resource has owner && resource.owner == principal)";
const TEAM: &str = "(resource has team && principal.teams.contains(resource.team))";
const DEPARTMENT: &str = "(resource has department && principal.departments.contains(resource.department))";

/// What has to be so for a permission to reach the resource.
fn reaches(scope: PermissionScope) -> String {
    match scope {
        PermissionScope::Own => OWN.to_owned(),
        PermissionScope::Team => format!("{OWN} || {TEAM}"),
        PermissionScope::Department => format!("{OWN} || {TEAM} || {DEPARTMENT}"),
        _ => "true".to_owned(),
    }
}

/// What has to be so for the resource to be known to lie outside of what a denial reaches.
fn outside(scope: PermissionScope) -> Option<String> {
    let owned = "(resource has owner && resource.owner != principal)";
    let among = |all: &str, one: &str| {
        format!(
            "(principal.{all} == [] || (resource has {one} && !principal.{all}.contains(resource.{one})))"
        )
    };
    let (team, department) = (among("teams", "team"), among("departments", "department"));
    match scope {
        PermissionScope::Own => Some(owned.to_owned()),
        PermissionScope::Team => Some(format!("{owned} && {team}")),
        PermissionScope::Department => Some(format!("{owned} && {team} && {department}")),
        _ => None,
    }
}

fn holds(constraint: &Constraint) -> String {
    let rule = match &constraint.rule {
        Rule::OwnerOnly => OWN.to_owned(),
        Rule::OrganizationOnly => "resource has organization && principal has organization \
             && resource.organization == principal.organization"
            .to_owned(),
        Rule::Equals(Equality { attribute, to }) => match to {
            Operand::Value(value) => {
                format!("resource has {attribute} && resource.{attribute} == {}", literal(value))
            }
            Operand::Subject(name) => {
                format!(
                    "resource has {attribute} && principal has {name} && resource.{attribute} == principal.{name}"
                )
            }
            other => unreachable!("none is drawn: {other:?}"),
        },
        other => unreachable!("none is drawn: {other:?}"),
    };
    match &constraint.resource {
        Some(pattern) => format!("!(context.kind like \"{pattern}\") || ({rule})"),
        None => rule,
    }
}

fn selects(selector: &ResourceSelector, tenant: usize) -> String {
    let kind = selector.kind();
    match selector.id() {
        Some(id) => format!("resource == Resource::\"t{tenant}/{kind}/{id}\""),
        None => format!("(resource has kind && resource.kind == \"{kind}\")"),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Integer(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::List(_) => unreachable!("none is drawn"),
    }
}

fn expression(value: &Value) -> RestrictedExpression {
    match value {
        Value::Text(text) => string(text.as_str()),
        Value::Integer(number) => RestrictedExpression::new_long(*number),
        Value::Bool(truth) => RestrictedExpression::new_bool(*truth),
        Value::List(_) => unreachable!("none is drawn"),
    }
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn of_profile(profile: &SubjectProfile) -> HashMap<String, RestrictedExpression> {
    let set = |all: &BTreeSet<stanchion_core::Text>| {
        RestrictedExpression::new_set(all.iter().map(|one| string(one.as_str())))
    };
    let mut all = HashMap::from([
        ("teams".to_owned(), set(&profile.teams)),
        ("departments".to_owned(), set(&profile.departments)),
    ]);
    all.extend(profile.organization.as_ref().map(|one| ("organization".to_owned(), string(one.as_str()))));
    all.extend(profile.attributes.iter().map(|(name, value)| (name.to_string(), expression(value))));
    all
}

/// A resource, or what is asked about where none is named.
fn of_resource(tenant: usize, named: Option<&Resource>) -> Entity {
    let mut all = HashMap::new();
    match named {
        Some(one) => {
            all.insert("kind".to_owned(), string(one.kind.as_str()));
            let owner =
                one.owner.as_ref().map(|owner| RestrictedExpression::new_entity_uid(subject(owner, tenant)));
            all.extend(owner.map(|owner| ("owner".to_owned(), owner)));
            let texts =
                [("team", &one.team), ("department", &one.department), ("organization", &one.organization)];
            for (name, text) in texts {
                all.extend(text.as_ref().map(|text| (name.to_owned(), string(text.as_str()))));
            }
            all.extend(one.attributes.iter().map(|(name, value)| (name.to_string(), expression(value))));
        }
        None => drop(all.insert("whole".to_owned(), RestrictedExpression::new_bool(true))),
    }
    let parents = HashSet::from([uid("Tenant", &format!("t{tenant}"))]);
    Entity::new(resource(tenant, named), all, parents).unwrap()
}

fn resource(tenant: usize, named: Option<&Resource>) -> EntityUid {
    let id = named.and_then(|one| Some(format!("t{tenant}/{}/{}", one.kind, one.id.as_ref()?)));
    id.map_or_else(|| uid("Whole", &format!("t{tenant}")), |id| uid("Resource", &id))
}

/// Users are the same in all tenants, groups are not.
fn subject(subject: &SubjectRef, tenant: usize) -> EntityUid {
    match subject.kind() {
        SubjectKind::Group => uid("Group", &format!("t{tenant}/{}", subject.id())),
        _ => uid("User", subject.id().as_str()),
    }
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>().unwrap(), EntityId::new(id))
}
