use std::collections::HashMap;

use limitador::RateLimiter;
use limitador::limit::{Context, Expression, Limit, Namespace, Predicate};
use stanchion_core::SubjectRef;
use stanchion_ratelimit::{Engine, Request};

use crate::measure::{Comparison, compare, over_admission, report};
use crate::workload::{DAY, KEYS, LIMIT, engine, name, subjects, tenant, users};

/// How many requests a turn has: a decision of theirs takes microseconds.
const REQUESTS: usize = 5_000;

/// A limiter of one namespace, as `limitador` documents it.
pub(crate) struct Limitador {
    limiter: RateLimiter,
    namespace: Namespace,
}

impl Limitador {
    /// So many limits a user, of which `matching` are for the route `hot`. Each has a window of its own length, for limits that differ
    /// in nothing but their number are one to it.
    pub(crate) fn new(limits: usize, matching: usize, most: u64) -> Self {
        let limiter = RateLimiter::new(4 * KEYS as u64);
        for number in 0..limits {
            let route = if number < matching { "hot".to_owned() } else { format!("route-{}", number / 8) };
            let condition = Predicate::parse(format!("route == '{route}'")).unwrap();
            let variable = Expression::parse("user").unwrap();
            limiter.add_limit(Limit::new("bench", most, DAY + number as u64, [condition], [variable]));
        }
        Self { limiter, namespace: "bench".into() }
    }

    pub(crate) fn decide(&self, user: usize) -> bool {
        self.decide_in(&context(name(user)))
    }

    fn decide_in(&self, context: &Context<'_>) -> bool {
        !self.limiter.check_rate_limited_and_update(&self.namespace, context, 1).unwrap().limited
    }
}

fn context<'a>(user: String) -> Context<'a> {
    HashMap::from([("route".to_owned(), "hot".to_owned()), ("user".to_owned(), user)]).into()
}

pub(crate) fn run(turns: usize) {
    // The whole turn is longer than elsewhere, so fewer of them tell as much.
    let turns = turns.min(15);
    report("engine_one_rule", "limitador", of_rules(turns, REQUESTS, [(1, 1), (1, 1)]));
    report("memory_eight_of_thousand", "limitador_of_eight", of_rules(turns, REQUESTS, [(1_000, 8), (8, 8)]));
    report(
        "memory_eight_of_thousand",
        "limitador_of_thousand",
        of_rules(turns, 200, [(1_000, 8), (1_000, 8)]),
    );
    report("memory_eight_of_thousand", "limitador_of_eight_context_at_hand", at_hand(turns));
    println!("BENCH ratelimit.over_admission_limitador value={} unit=requests", over());
}

fn of_rules(turns: usize, requests: usize, [ours, theirs]: [(usize, usize); 2]) -> Comparison {
    let users_of_each = KEYS / ours.1;
    let (engine, limitador) = (engine(ours.0, ours.1), Limitador::new(theirs.0, theirs.1, LIMIT));
    let subjects = subjects(users_of_each);
    let order: Vec<usize> = users(users_of_each).into_iter().take(requests).collect();
    order.iter().for_each(|user| assert!(decide(&engine, &subjects[*user]) && limitador.decide(*user)));
    compare(
        turns,
        requests,
        || order.iter().for_each(|user| assert!(decide(&engine, &subjects[*user]))),
        || order.iter().for_each(|user| assert!(limitador.decide(*user))),
    )
}

/// Eight rules, and theirs does not pay for what it has to be told of the request.
fn at_hand(turns: usize) -> Comparison {
    let users_of_each = KEYS / 8;
    let (engine, limitador) = (engine(1_000, 8), Limitador::new(8, 8, LIMIT));
    let subjects = subjects(users_of_each);
    let order: Vec<usize> = users(users_of_each).into_iter().take(REQUESTS).collect();
    let contexts: Vec<Context<'_>> = order.iter().map(|user| context(name(*user))).collect();
    order.iter().for_each(|user| assert!(decide(&engine, &subjects[*user]) && limitador.decide(*user)));
    compare(
        turns,
        REQUESTS,
        || order.iter().for_each(|user| assert!(decide(&engine, &subjects[*user]))),
        || contexts.iter().for_each(|context| assert!(limitador.decide_in(context))),
    )
}

fn decide(engine: &Engine, subject: &SubjectRef) -> bool {
    let request =
        Request { tenant: Some(tenant()), subject: Some(subject), route: Some("hot"), ..Request::default() };
    engine.try_decide(&request).unwrap().is_admitted()
}

fn over() -> usize {
    let limitador = Limitador::new(1, 1, 1_000);
    over_admission(200, 1_000, |round| limitador.decide(round))
}
