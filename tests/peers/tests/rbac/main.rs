//! The same questions to us and to peers: over drawn roles, assignments, grants and denials, all have to answer alike.
//!
//! A peer is told what it can express, in its own words: inclusion, groups and membership by its own hierarchy, patterns by its own
//! matching, denials by its own "deny", and for Cedar ownership, teams, attributes and selected resources as conditions of policies.
//! What stands below is all in which we are known to differ; anything else is a fault of ours or theirs.
//!
//! | what | casbin | Cedar |
//! |---|---|---|
//! | a role that is switched off | unknown: its permissions and what it includes are not told | the same |
//! | what has expired or is not valid yet | unknown: not told | could be a condition, but not of a membership: not told |
//! | the platform's roles in a tenant, and a tenant's role of the same name | unknown: each tenant is told the roles that its names mean | the same |
//! | more than nine roles on a way | cut off: what is further away is not had (`deep.rs`) | had |
//! | how far a permission reaches, constraints, attributes, selected resources | not asked | a policy's condition; a constraint only on roles that include nothing, for a policy of an included role does not know by which role it is had |
//! | ceilings, exclusions, sessions, separation of duties, approval | not asked | not asked |
//! | lists as attributes | not asked | sets, which are equal in any order: not asked |
//! | no resource | not asked | a resource of its own that says nothing of itself |
//! | an exact permission that nobody was told of | denied, by both | denied |

mod casbin;
mod cedar;
mod deep;
mod draw;
mod ours;

use draw::{Abilities, Drawn};

/// Puts all questions of so many drawn worlds to both, and counts them.
fn compare<P>(
    seeds: std::ops::Range<u64>,
    abilities: Abilities,
    peer: impl Fn(&Drawn) -> P,
    ask: impl Fn(&P, &draw::Question<'_>) -> bool,
) -> (usize, usize) {
    let (mut asked, mut permitted) = (0, 0);
    for seed in seeds {
        let drawn = Drawn::new(seed, abilities);
        let (ours, theirs) = (ours::Ours::new(&drawn), peer(&drawn));
        for question in drawn.questions() {
            let (decision, answer) = (ours.check(&question), ask(&theirs, &question));
            assert_eq!(
                decision.allowed, answer,
                "world {seed}: ours {decision:?}\nquestion {question:#?}\nof {:#?}\n{:#?}",
                drawn.platform, drawn.tenants[question.tenant]
            );
            asked += 1;
            permitted += usize::from(answer);
        }
    }
    (asked, permitted)
}

#[test]
fn casbin_answers_as_we_do() {
    let (asked, permitted) = compare(0..24, Abilities::ROLES, casbin::Casbin::new, casbin::Casbin::check);
    println!("{asked} questions, {permitted} permitted");
    assert!(asked >= 5_000 && (asked / 4..asked * 3 / 4).contains(&permitted), "{permitted} of {asked}");
}

#[test]
fn cedar_answers_as_we_do_about_roles() {
    let (asked, permitted) = compare(0..24, Abilities::ROLES, cedar::Cedar::new, cedar::Cedar::check);
    println!("{asked} questions, {permitted} permitted");
    assert!(asked >= 5_000 && (asked / 4..asked * 3 / 4).contains(&permitted), "{permitted} of {asked}");
}

#[test]
fn cedar_answers_as_we_do_about_resources() {
    let (asked, permitted) = compare(100..180, Abilities::ALL, cedar::Cedar::new, cedar::Cedar::check);
    println!("{asked} questions, {permitted} permitted");
    assert!(asked >= 20_000 && (asked / 4..asked * 3 / 4).contains(&permitted), "{permitted} of {asked}");
}
