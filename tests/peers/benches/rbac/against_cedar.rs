use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use crate::measure::{compare, one_by_one, report};
use crate::world::{Size, World, own_permissions, permission, role_name, user_name};

/// How many questions: each takes a good part of a millisecond.
const QUESTIONS: usize = 1_000;

/// Roles as data: what is asked for says which roles have it.
const ONE: &str =
    "permit(principal, action == Action::\"use\", resource) when { principal in resource.roles };";

/// Where a policy for each role says what it has.
struct ByRole;

/// Where one policy looks it up.
struct Looked;

trait Shape {
    fn policies(size: Size) -> String;
    /// What is asked for.
    fn resource(permission: usize) -> EntityUid;
    fn action(permission: usize) -> EntityUid;
    fn of_role(role: usize) -> Vec<Entity>;
}

impl Shape for ByRole {
    fn policies(size: Size) -> String {
        let mut text = String::new();
        for role in 0..size.roles {
            let actions: Vec<String> =
                own_permissions(role).map(|number| format!("Action::\"{}\"", permission(number))).collect();
            let (role, actions) = (role_name(role), actions.join(", "));
            writeln!(text, "permit(principal in Role::\"{role}\", action in [{actions}], resource);")
                .unwrap();
        }
        text
    }

    fn resource(_: usize) -> EntityUid {
        uid("Tenant", "tenant")
    }

    fn action(number: usize) -> EntityUid {
        uid("Action", &permission(number))
    }

    fn of_role(_: usize) -> Vec<Entity> {
        Vec::new()
    }
}

impl Shape for Looked {
    fn policies(_: Size) -> String {
        ONE.to_owned()
    }

    fn resource(number: usize) -> EntityUid {
        uid("Permission", &permission(number))
    }

    fn action(_: usize) -> EntityUid {
        uid("Action", "use")
    }

    fn of_role(role: usize) -> Vec<Entity> {
        let roles = RestrictedExpression::new_set([RestrictedExpression::new_entity_uid(role_uid(role))]);
        let roles = HashMap::from([("roles".to_owned(), roles)]);
        let permission = |number| Entity::new(Self::resource(number), roles.clone(), HashSet::new()).unwrap();
        own_permissions(role).map(permission).collect()
    }
}

/// What has been prepared: questions too, but for putting their parts together.
struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    questions: Vec<[EntityUid; 3]>,
}

pub(crate) fn run(turns: usize, world: &World) {
    compare_with::<ByRole>(turns, world, "cedar");
    compare_with::<Looked>(turns, world, "cedar_of_one_policy");
}

fn compare_with<S: Shape>(turns: usize, world: &World, peer: &str) {
    let cedar = Cedar::new::<S>(world);
    let check = |request: usize| cedar.check(request);
    assert!((0..QUESTIONS).all(|request| check(request) == world.check(request)), "both decide alike");
    let ours = (QUESTIONS / 2, || one_by_one(QUESTIONS, |request| world.check(request)));
    report("check", peer, compare(turns, ours, (QUESTIONS / 2, || one_by_one(QUESTIONS, check))));
}

impl Cedar {
    fn new<S: Shape>(world: &World) -> Self {
        let size = world.size;
        let role = |role| {
            Entity::new_no_attrs(role_uid(role), size.included(role).map(role_uid).into_iter().collect())
        };
        let user = |(user, held): (usize, &Vec<usize>)| {
            Entity::new_no_attrs(uid("User", &user_name(user)), held.iter().copied().map(role_uid).collect())
        };
        let roles = (0..size.roles).map(role).chain((0..size.roles).flat_map(S::of_role));
        let entities = roles.chain(world.held.iter().enumerate().map(user));
        let question =
            |(user, wanted): &(String, usize)| [uid("User", user), S::action(*wanted), S::resource(*wanted)];
        Self {
            authorizer: Authorizer::new(),
            policies: S::policies(size).parse().unwrap(),
            entities: Entities::from_entities(entities, None).unwrap(),
            questions: world.floor.requests.iter().take(QUESTIONS).map(question).collect(),
        }
    }

    fn check(&self, request: usize) -> bool {
        let [principal, action, resource] = self.questions[request].clone();
        let request = Request::new(principal, action, resource, Context::empty(), None).unwrap();
        let response = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        response.decision() == Decision::Allow
    }
}

fn role_uid(role: usize) -> EntityUid {
    uid("Role", &role_name(role))
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>().unwrap(), EntityId::new(id))
}
