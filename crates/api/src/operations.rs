use crate::operation::Operation;
use crate::{assignments, audit, check, denials, keys, limits, roles, routes, system, tenants, usage};

/// Every operation of the API, in the order of its document.
pub(crate) fn all() -> Vec<Operation> {
    let groups = [
        tenants::operations(),
        keys::operations(),
        roles::operations(),
        assignments::operations(),
        denials::operations(),
        check::operations(),
        limits::operations(),
        routes::operations(),
        usage::operations(),
        audit::operations(),
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
