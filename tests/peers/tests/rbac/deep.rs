//! What is known to differ, so that it is seen when it no longer does.

use stanchion_core::SubjectRef;
use stanchion_rbac::Permission;

use crate::casbin::Casbin;

/// It follows ten links from a user, and its membership is one. In ours a way may have as many roles as the configuration says, up to 256.
#[test]
fn casbin_loses_what_is_more_than_nine_roles_away() {
    let depth = 16_usize;
    let name = |role: usize| format!("own/role-{role}");
    let links = (1..depth).map(|role| vec![name(role), name(role + 1), "t0".to_owned()]);
    let links = links.chain([vec!["user:u0".to_owned(), name(1), "t0".to_owned()]]).collect();
    let policy = |role: usize| {
        [name(role), "t0".to_owned(), format!("document-{role}"), "read".to_owned(), "allow".to_owned()]
            .to_vec()
    };
    let casbin = Casbin::with((1..=depth).map(policy).collect(), links);
    let user: SubjectRef = "user:u0".parse().unwrap();
    let has =
        |role: &usize| casbin.permits(&user, 0, &Permission::new(&format!("document-{role}:read")).unwrap());
    assert_eq!((1..=depth).filter(has).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
}
