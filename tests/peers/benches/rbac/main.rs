//! Access control against `casbin` and `cedar-policy`: 10,000 users with three roles each, 1,000 roles in chains of four, five
//! permissions by role; the questions of our own benchmark, each asked for once the answer before it is there.
//!
//! | peer | same | different |
//! |---|---|---|
//! | `casbin`, its model of roles with domains, as it documents it | one tenant, everything in memory, the same roles, inclusion and assignments | it goes through all 5,000 policies; it answers yes or no, ours also why, by which role and until when |
//! | `casbin`, `CachedEnforcer` with room for every question, each asked before | the same | it looks up an answer by a hash of the question and compares nothing else; it is emptied by every change, ours only of whom a change is about |
//! | `cedar-policy`, a policy for each role, as it documents roles | entities and their hierarchy prepared once, names of actions too | it goes through all 1,000 policies; it answers by which policy |
//! | `cedar-policy`, one policy for all | the same | what is asked for says which roles name it, as data; roles can have no conditions of their own then |

#[path = "../../../../crates/rbac/benches/rbac/measure.rs"]
mod measure;
#[path = "../../../../crates/rbac/benches/rbac/world.rs"]
mod world;

mod against_casbin;
mod against_cedar;

use world::{Size, World};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let turns = if quick { 5 } else { 15 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = runtime.block_on(World::new(Size::USUAL));
    against_cedar::run(turns, &world);
    against_casbin::run(turns, &world, &runtime);
}
