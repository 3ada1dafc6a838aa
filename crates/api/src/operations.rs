use crate::operation::Operation;
use crate::{
    access, assignments, audit, bulk, denials, grants, groups, keys, limits, permissions, roles, routes,
    separations, sessions, system, tenants, usage,
};

/// Every operation of the API, in the order of its document.
pub(crate) fn all() -> Vec<Operation> {
    let groups = [
        tenants::operations(),
        keys::operations(),
        roles::operations(),
        assignments::operations(),
        denials::operations(),
        grants::operations(),
        groups::operations(),
        separations::operations(),
        sessions::operations(),
        permissions::operations(),
        access::operations(),
        bulk::operations(),
        limits::operations(),
        routes::operations(),
        usage::operations(),
        audit::operations(),
        audit::verification::operations(),
        audit::actions::operations(),
        audit::tail::operations(),
        audit::export::operations(),
        audit::jobs::operations(),
        audit::proofs::operations(),
        audit::report::operations(),
        audit::across::operations(),
        audit::protection::operations(),
        audit::retention::operations(),
        system::operations(),
    ];
    groups.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stanchion_rbac::{Permission, Registry};

    use super::*;
    use crate::operation::Run;

    /// What no operation asks for and the rules of granting do.
    const ELSEWHERE: [&str; 1] = ["role:grant"];

    #[test]
    fn whatever_changes_who_may_do_what_is_administrative() {
        // What asks without changing anything, although it has a body.
        const ASKS: [&str; 7] = [
            "check_access",
            "explain_access",
            "who_can",
            "what_can",
            "plan_access",
            "preview_access",
            "validate_permissions",
        ];
        let groups = [
            roles::operations(),
            assignments::operations(),
            denials::operations(),
            grants::operations(),
            groups::operations(),
            separations::operations(),
            sessions::operations(),
            permissions::operations(),
            access::operations(),
            bulk::operations(),
        ];
        let administrative: BTreeSet<Permission> = Registry::stanchion().administrative().collect();
        let mut changing = BTreeSet::new();
        for operation in groups.into_iter().flatten() {
            let Run::Guarded(access, _) = &operation.run else { continue };
            if operation.method != http::Method::GET && !ASKS.contains(&operation.id) {
                assert!(
                    administrative.contains(&access.permission),
                    "{} by {}",
                    operation.id,
                    access.permission
                );
                changing.insert(access.permission.clone());
            } else {
                assert!(
                    !administrative.contains(&access.permission),
                    "{} by {}",
                    operation.id,
                    access.permission
                );
            }
        }
        assert_eq!(changing, administrative, "and nothing else is");
    }

    #[test]
    fn the_registry_knows_what_the_operations_ask_for_and_nothing_else() {
        let operations = all();
        let asked = operations.iter().filter_map(|operation| match &operation.run {
            Run::Guarded(access, _) => Some(access.permission.clone()),
            Run::Open(_) => None,
        });
        let asked: BTreeSet<Permission> =
            asked.chain(ELSEWHERE.map(|permission| permission.parse().unwrap())).collect();
        let known: BTreeSet<Permission> = Registry::stanchion().permissions().collect();
        let missing: Vec<_> = asked.difference(&known).collect();
        let idle: Vec<_> = known.difference(&asked).collect();
        assert!(
            missing.is_empty() && idle.is_empty(),
            "crates/rbac/registry/stanchion.json lacks {missing:?}, and lists {idle:?} that nothing asks for"
        );
    }
}
