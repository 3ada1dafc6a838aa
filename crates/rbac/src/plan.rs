use hashbrown::HashMap;
use stanchion_core::{Revision, Text, Timestamp};

use crate::check::{GrantingRoles, Having};
use crate::facts::Facts;
use crate::holdings::Span;
use crate::view::Place;
use crate::{
    AttributeName, CheckRequest, Constraint, Engine, Equality, Error, Operand, PermissionScope, ResourceType,
    Rule, SubjectProfile,
};

mod expression;
mod sql;

pub use expression::{Expression, Field};
pub use sql::{Columns, Sql, UnmappedColumn};

/// On which resources a subject may do something: what a list is to be filtered by.
///
/// A resource passes the filter where a check of it would permit it. That holds for resources of the permission's type that have an
/// id, as rows do, until [`Plan::valid_until`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// On which.
    pub filter: Filter,
    /// The type of the resources.
    pub kind: ResourceType,
    /// Every change of the scope up to this revision was taken into account.
    pub revision: Revision,
    /// When time alone may change the filter; never, if there is none.
    pub valid_until: Option<Timestamp>,
}

/// On which resources something is permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// On all.
    Always,
    /// On none.
    Never,
    /// On those of which this is true.
    When(Expression),
}

impl Engine {
    /// Tells on which resources a request is permitted. The resource of the request does not matter.
    ///
    /// # Errors
    /// As [`Engine::check`]; [`Error::NotExact`] for a permission that is not [exact](crate::Permission::is_exact).
    pub async fn plan(&self, request: &CheckRequest<'_>) -> Result<Plan, Error> {
        let not_exact = || Error::NotExact(request.permission.clone());
        let kind = request.permission.resource().parse().map_err(|_| not_exact())?;
        if !request.permission.is_exact() {
            return Err(not_exact());
        }
        let (gathered, refused) = self.gather(request).await?;
        let having = gathered.having();
        let facts = gathered.facts(request, None, self.clock.now(), false);
        let mut planner = Planner { facts: &facts, having, edge: Timestamp::MAX, known: HashMap::new() };
        let expression = if refused.is_some() { Expression::Never } else { planner.plan() };
        let filter = match expression {
            Expression::Always => Filter::Always,
            Expression::Never => Filter::Never,
            expression => Filter::When(expression),
        };
        let valid_until = (planner.edge < Timestamp::MAX).then_some(planner.edge);
        Ok(Plan { filter, kind, revision: having.revision(), valid_until })
    }
}

/// Turns what a check would look at into what it would look at on each resource.
struct Planner<'a> {
    facts: &'a Facts<'a>,
    having: Having<'a>,
    /// The next instant at which something that was looked at changes by itself.
    edge: Timestamp,
    known: HashMap<(Place, bool), Expression>,
}

impl Planner<'_> {
    fn plan(&mut self) -> Expression {
        let (mut ways, mut denied) = (Vec::new(), Vec::new());
        let having = self.having;
        let view = &*having.own.view;
        if let Some(session) = having.session {
            self.edge = self.edge.min(session.expires_at);
        }
        let granting = GrantingRoles::new(view, self.facts.wanted);
        for (member, held) in having.all() {
            if !self.counts(member) {
                continue;
            }
            for denial in held.denials().iter().filter(|one| one.permission.covers_name(self.facts.wanted)) {
                let selected = denial.resource.clone().map_or(Expression::Always, Expression::Within);
                denied.push(Expression::all([self.perhaps_within(denial.permission.scope()), selected]));
            }
            for (place, terms) in held.roles().filter(|(place, _)| granting.may_contain(*place)) {
                if self.counts(terms.span) {
                    let selected = terms.resource.clone().map_or(Expression::Always, Expression::Within);
                    let role = self.role(place, having.session.is_none(), 0);
                    ways.push(Expression::all([selected, role]));
                }
            }
            for grant in held.permissions().iter().filter(|one| one.permission.covers_name(self.facts.wanted))
            {
                if self.counts(grant.terms.span) && !grant.awaits_approval {
                    let selected =
                        grant.terms.resource.clone().map_or(Expression::Always, Expression::Within);
                    let reach = self.within(grant.permission.scope());
                    let constraints = self.constraints(&grant.constraints);
                    ways.push(Expression::all([selected, reach, constraints]));
                }
            }
        }
        Expression::all([Expression::any(ways), Expression::any(denied).negated()])
    }

    fn counts(&mut self, span: Span) -> bool {
        let now = self.facts.now;
        let edges = [span.from, span.until].into_iter().filter(|edge| *edge > now);
        self.edge = edges.fold(self.edge, Timestamp::min);
        span.contains(now)
    }

    fn role(&mut self, place: Place, passed: bool, depth: usize) -> Expression {
        if let Some(known) = self.known.get(&(place, passed)) {
            return known.clone();
        }
        let view = &*self.having.own.view;
        let Some(role) = view.role(place).filter(|role| role.active && depth <= crate::walk::DEEPEST) else {
            return Expression::Never;
        };
        // A role on a cycle permits nothing by way of itself.
        self.known.insert((place, passed), Expression::Never);
        let now_passed = passed || self.having.active().is_some_and(|active| active.contains(&role.id));
        let wanted = self.facts.wanted;
        let mut ways = Vec::new();
        if now_passed {
            let own = role.permissions.iter().filter(|own| own.covers_name(wanted));
            ways.extend(own.map(|own| self.within(own.scope())));
        }
        let excluded = role.excludes.iter().filter(|other| other.covers_name(wanted));
        let excluded = Expression::any(excluded.map(|other| self.perhaps_within(other.scope())));
        let juniors: Vec<Place> = view.juniors(place).collect();
        let inherited: Vec<Expression> =
            juniors.into_iter().map(|junior| self.role(junior, now_passed, depth + 1)).collect();
        ways.push(Expression::all([excluded.negated(), Expression::any(inherited)]));
        let ceiling = self.within(role.ceiling);
        let found = Expression::all([Expression::any(ways), ceiling, self.constraints(&role.constraints)]);
        self.known.insert((place, passed), found.clone());
        found
    }

    /// Where what reaches so far reaches the resource.
    fn within(&self, scope: PermissionScope) -> Expression {
        let among = |field, of: fn(&SubjectProfile) -> &std::collections::BTreeSet<Text>| {
            let names = self.facts.profile.into_iter().flat_map(of).cloned();
            Expression::among(field, names)
        };
        let own = Expression::Is(Field::Owner, Text::from(self.facts.subject.to_string()).into());
        match scope {
            PermissionScope::Own => own,
            PermissionScope::Team => Expression::any([own, among(Field::Team, |profile| &profile.teams)]),
            PermissionScope::Department => {
                let departments = among(Field::Department, |profile| &profile.departments);
                Expression::any([self.within(PermissionScope::Team), departments])
            }
            PermissionScope::Tenant if self.facts.scope.tenant().is_none() => {
                let tenant = AttributeName::new("tenant").map(Field::Attribute);
                let none = tenant.map_or(Expression::Never, Expression::Missing);
                Expression::any([self.within(PermissionScope::Department), none])
            }
            PermissionScope::Tenant | PermissionScope::Platform => Expression::Always,
        }
    }

    /// Where what reaches so far may reach the resource, by what is known of it.
    fn perhaps_within(&self, scope: PermissionScope) -> Expression {
        let place = |field: Field, of: fn(&SubjectProfile) -> &std::collections::BTreeSet<Text>| match self
            .facts
            .profile
            .map(of)
        {
            None => Expression::Always,
            Some(names) if names.is_empty() => Expression::Never,
            Some(names) => {
                let among = Expression::among(field.clone(), names.iter().cloned());
                Expression::any([among, Expression::Missing(field)])
            }
        };
        match scope {
            PermissionScope::Own => Expression::any([self.within(scope), Expression::Missing(Field::Owner)]),
            PermissionScope::Team => {
                let own = self.perhaps_within(PermissionScope::Own);
                Expression::any([own, place(Field::Team, |profile| &profile.teams)])
            }
            PermissionScope::Department => {
                let team = self.perhaps_within(PermissionScope::Team);
                Expression::any([team, place(Field::Department, |profile| &profile.departments)])
            }
            PermissionScope::Tenant | PermissionScope::Platform => Expression::Always,
        }
    }

    fn constraints(&mut self, constraints: &[Constraint]) -> Expression {
        let wanted = self.facts.wanted;
        let bound = constraints.iter().filter(|constraint| constraint.binds(wanted.resource()));
        Expression::all(bound.map(|constraint| self.rule(&constraint.rule)).collect::<Vec<_>>())
    }

    fn rule(&mut self, rule: &Rule) -> Expression {
        let profile = self.facts.profile;
        match rule {
            Rule::OwnerOnly => self.within(PermissionScope::Own),
            Rule::OrganizationOnly => {
                let organization = profile.and_then(|profile| profile.organization.clone());
                organization
                    .map_or(Expression::Never, |name| Expression::Is(Field::Organization, name.into()))
            }
            Rule::Equals(Equality { attribute, to }) => {
                let value = match to {
                    Operand::Value(value) => Some(value),
                    Operand::Subject(name) => profile.and_then(|profile| profile.attributes.get(name)),
                };
                let field = Field::Attribute(attribute.clone());
                value.map_or(Expression::Never, |value| Expression::Is(field, value.clone()))
            }
            Rule::Time(schedule) => {
                if let Some(edge) = schedule.next_edge(self.facts.now) {
                    self.edge = self.edge.min(edge);
                }
                if schedule.contains(self.facts.now) { Expression::Always } else { Expression::Never }
            }
        }
    }
}

impl Filter {
    /// Tells whether a resource passes.
    #[must_use]
    pub fn passes(&self, resource: &crate::Resource) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::When(expression) => expression.is_true_of(resource),
        }
    }
}

impl Plan {
    /// Writes the filter as the condition of an SQL query, with bound parameters `$1`, `$2` and so on, from `first` on.
    ///
    /// # Errors
    /// [`UnmappedColumn`] when the filter needs a column that is not named. Nothing is left out of a filter.
    pub fn to_sql(&self, columns: &Columns, first: usize) -> Result<Sql, UnmappedColumn> {
        sql::write(&self.filter, &self.kind, columns, first)
    }
}
