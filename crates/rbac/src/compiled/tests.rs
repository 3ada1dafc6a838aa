use super::*;
use stanchion_core::Timestamp;

fn role(id: &str, permissions: &[&str], includes: &[&str]) -> Role {
    Role::new(id.parse().unwrap(), id.parse().unwrap())
        .with_permissions(permissions.iter().map(|text| text.parse().unwrap()))
        .with_includes(includes.iter().map(|text| text.parse().unwrap()))
}

fn compiled(roles: Vec<Role>) -> Compiled {
    let versioned = |role| Versioned::created(role, Revision::ZERO, Timestamp::EPOCH);
    Compiled::new(Revision::ZERO, roles.into_iter().map(versioned).collect())
}

fn granting(compiled: &Compiled, wanted: &str) -> Vec<String> {
    let wanted: Permission = wanted.parse().unwrap();
    let granting = compiled.granting(&wanted);
    let ids = |number: u32| compiled.role(number).unwrap().id.to_string();
    let all = || 0..u32::try_from(compiled.roles.len()).unwrap();
    let may: Vec<u32> = all().filter(|number| granting.may_contain(*number)).collect();
    assert_eq!(granting.numbers().into_iter().collect::<Vec<_>>(), may);
    let granting: Vec<u32> = all().filter(|number| granting.contains(*number)).collect();
    assert!(granting.iter().all(|number| may.contains(number)));
    granting.into_iter().map(ids).collect()
}

fn maybe(compiled: &Compiled, wanted: &str) -> Vec<String> {
    let wanted: Permission = wanted.parse().unwrap();
    let granting = compiled.granting(&wanted);
    let maybe = granting.numbers().into_iter().filter(|number| !granting.contains(*number));
    let maybe: Vec<String> = maybe.map(|number| compiled.role(number).unwrap().id.to_string()).collect();
    assert_eq!(maybe.is_empty(), granting.is_unconditional());
    assert!(maybe.is_empty() || !compiled.unconditional);
    maybe
}

#[test]
fn what_a_role_leaves_out_its_seniors_leave_out_too() {
    let compiled = compiled(vec![
        role("junior", &["document:read", "document:write", "note:read"], &[]),
        role("middle", &["document:list"], &["junior"])
            .with_excludes(["document:wr*".parse().unwrap(), "note:read:own".parse().unwrap()]),
        role("senior", &[], &["middle"]),
    ]);
    assert_eq!(granting(&compiled, "document:read"), ["junior", "middle", "senior"]);
    assert_eq!(granting(&compiled, "document:list"), ["middle", "senior"]);
    assert_eq!(granting(&compiled, "document:write"), ["junior"]);
    assert_eq!(maybe(&compiled, "document:write"), ["middle", "senior"]);
    assert_eq!(maybe(&compiled, "note:read"), ["middle", "senior"]);
    assert_eq!(maybe(&compiled, "document:read"), [""; 0]);
}

#[test]
fn what_binds_a_role_makes_it_permit_under_a_condition_only() {
    let compiled = compiled(vec![
        role("junior", &["document:read", "document:*"], &[]),
        role("low", &[], &["junior"]).reaching(PermissionScope::Team),
        role("bound", &["note:read"], &["junior"]).constrained(Constraint::new(crate::Rule::OwnerOnly)),
        role("senior", &["note:list"], &["bound", "low"]),
    ]);
    for what in ["document:read", "document:archive"] {
        assert_eq!(granting(&compiled, what), ["junior"], "{what}");
        assert_eq!(maybe(&compiled, what), ["low", "bound", "senior"], "{what}");
    }
    assert_eq!(maybe(&compiled, "note:read"), ["bound", "senior"]);
    assert_eq!(granting(&compiled, "note:list"), ["senior"]);
}

#[test]
fn a_ceiling_that_lets_through_the_whole_tenant_is_no_condition() {
    let compiled = compiled(vec![
        role("junior", &["document:read", "note:*"], &[]),
        role("capped", &["document:write"], &["junior"]).reaching(PermissionScope::Tenant),
    ]);
    for (what, roles) in [
        ("document:read", &["junior", "capped"][..]),
        ("document:write", &["capped"]),
        ("note:read", &["junior", "capped"]),
    ] {
        assert_eq!(granting(&compiled, what), roles, "{what}");
        assert_eq!(maybe(&compiled, what), [""; 0], "{what}");
    }
    assert!(compiled.unconditional);
}

#[test]
fn what_only_a_wildcard_makes_conditional_is() {
    let compiled = compiled(vec![
        role("junior", &["document:*"], &[]),
        role("bound", &["note:read"], &["junior"]).constrained(Constraint::new(crate::Rule::OwnerOnly)),
        role("without", &[], &["junior"]).with_excludes(["document:write".parse().unwrap()]),
    ]);
    assert!(!compiled.unconditional);
    assert_eq!(maybe(&compiled, "document:read"), ["bound", "without"]);
    assert_eq!(maybe(&compiled, "document:write"), ["bound", "without"]);
}

#[test]
fn the_senior_role_has_what_it_includes_and_not_the_other_way() {
    // Seed 002 lets an analyst inherit from the administrator, who has everything.
    let compiled = compiled(vec![
        role("analyst", &["security:read"], &[]),
        role("security-admin", &["security:*"], &["analyst"]),
        role("admin", &["*:*"], &["security-admin"]),
    ]);
    assert_eq!(granting(&compiled, "security:read"), ["analyst", "security-admin", "admin"]);
    assert_eq!(granting(&compiled, "security:write"), ["security-admin", "admin"]);
    assert_eq!(granting(&compiled, "users:delete"), ["admin"]);
}

#[test]
fn wildcards_cover_what_roles_name_and_what_they_do_not() {
    let compiled = compiled(vec![
        role("a", &["invoices.*:read"], &[]),
        role("b", &["invoices.paid:re*"], &[]),
        role("c", &["invoices.paid:read", "*:list"], &[]),
        role("d", &["invoices:read"], &[]),
    ]);
    assert_eq!(granting(&compiled, "invoices.paid:read"), ["a", "b", "c"]);
    assert_eq!(granting(&compiled, "invoices.open:read"), ["a"]);
    assert_eq!(granting(&compiled, "invoices.paid:refund"), ["b"]);
    assert_eq!(granting(&compiled, "invoices:read"), ["d"]);
    assert_eq!(granting(&compiled, "invoices:list"), ["c"]);
}

#[test]
fn a_scope_narrower_than_the_tenant_permits_nothing_by_itself() {
    // Seed 001 lets any scoped permission pass where the required scope is unknown to it.
    let compiled = compiled(vec![
        role("client", &["invoices:read:own", "projects:*:team", "payments:read:department"], &[]),
        role("operator", &["invoices:read:platform"], &[]),
    ]);
    assert_eq!(granting(&compiled, "invoices:read"), ["operator"]);
    assert_eq!(granting(&compiled, "projects:read"), [""; 0]);
    assert_eq!(granting(&compiled, "payments:read"), [""; 0]);
}

#[test]
fn an_inactive_role_conveys_nothing() {
    let mut middle = role("middle", &["b:x"], &["junior"]);
    middle.active = false;
    let compiled =
        compiled(vec![role("senior", &["a:x"], &["middle"]), middle, role("junior", &["c:x"], &[])]);
    assert_eq!(granting(&compiled, "a:x"), ["senior"]);
    assert_eq!(granting(&compiled, "b:x"), [""; 0]);
    assert_eq!(granting(&compiled, "c:x"), ["junior"]);
}

#[test]
fn a_cycle_in_the_store_does_not_hang() {
    // The effective permissions of seeds 000 and 003 recurse for ever here.
    let compiled = compiled(vec![role("a", &["a:x"], &["b"]), role("b", &["b:x"], &["a"])]);
    assert_eq!(granting(&compiled, "a:x"), ["a", "b"]);
    assert_eq!(granting(&compiled, "b:x"), ["a", "b"]);
}

#[test]
fn what_lies_outside_is_noted_once_for_every_role_that_reaches_it() {
    let compiled = compiled(vec![
        role("a", &[], &["b", "viewer"]),
        role("b", &[], &["viewer", "editor"]),
        role("c", &[], &[]),
    ]);
    let mut outward: Vec<&str> = compiled.outward(0).0.iter().map(RoleId::as_str).collect();
    outward.sort_unstable();
    assert_eq!(outward, ["editor", "viewer"]);
    assert_eq!(compiled.outgoing().collect::<Vec<_>>(), [0, 1]);
}
