//! Each preset against the table it comes from, cell by cell. What differs is listed, with why, and nothing else may.
//!
//! The tables in `presets/expected/` say how far each role reaches for each permission: what the code that the roles were first
//! written for answers (`ai-platform`, `back-office`, `metadata-service`), or what its documentation lists (`security-operations`).

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{Permission, PermissionScope, RoleId};

type Cell = (String, String);

/// How far a role reaches for what a permission names: by itself and by what it includes, within its ceiling. The definition, read
/// out naively; none of the presets has exclusions or constraints.
fn reach(preset: &Preset, role: &str, name: &Permission) -> Option<PermissionScope> {
    let role = preset.roles().iter().find(|known| known.id.as_str() == role).unwrap();
    let own = role.permissions.iter().filter(|own| own.covers_name(name)).map(Permission::scope);
    let included = role.includes.iter().filter_map(|id| reach(preset, id.as_str(), name));
    own.chain(included).max().map(|reach| role.ceiling.map_or(reach, |ceiling| reach.min(ceiling)))
}

fn word(reach: Option<PermissionScope>) -> &'static str {
    reach.map_or("-", PermissionScope::as_str)
}

fn table(text: &str) -> (Vec<&str>, BTreeMap<Cell, String>) {
    let mut lines = text.lines();
    let roles: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let mut cells = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), roles.len() + 1, "{line}");
        for (role, cell) in roles.iter().zip(&words[1..]) {
            assert!(cells.insert(((*role).to_owned(), words[0].to_owned()), (*cell).to_owned()).is_none());
        }
    }
    (roles, cells)
}

/// Compares every cell; `corrected` names (role, permission pattern, ours).
#[track_caller]
fn check(name: &str, expected: &str, corrected: &[(&str, &str, &str)]) {
    let preset = Preset::named(name).unwrap();
    let (roles, cells) = table(expected);
    let ids: BTreeSet<&str> = preset.roles().iter().map(|role| role.id.as_str()).collect();
    assert_eq!(ids, roles.into_iter().collect(), "the roles of the table");
    let listed: BTreeSet<String> = cells.keys().map(|(_, permission)| permission.clone()).collect();
    let registered: BTreeSet<String> = preset.registry().permissions().map(|one| one.to_string()).collect();
    assert_eq!(registered, listed, "the registry is what the table lists");

    let mut needed = BTreeSet::new();
    for ((role, permission), theirs) in &cells {
        let permission: Permission = permission.parse().unwrap();
        let ours = word(reach(&preset, role, &permission));
        let correction = corrected.iter().enumerate().find(|(_, (of, pattern, _))| {
            of == role && pattern.parse::<Permission>().unwrap().covers_name(&permission)
        });
        let wanted = match correction {
            Some((number, (_, _, corrected))) => {
                needed.extend((corrected != theirs).then_some(number));
                corrected
            }
            None => theirs.as_str(),
        };
        assert_eq!(ours, wanted, "{name}: {role} {permission}");
    }
    let idle: Vec<_> = (0..corrected.len()).filter(|number| !needed.contains(number)).collect();
    assert!(idle.is_empty(), "corrections that correct nothing: {idle:?}");
}

#[test]
fn ai_platform_is_its_table() {
    check("ai-platform", include_str!("../../presets/expected/ai-platform.txt"), &[]);
}

#[test]
fn back_office_is_its_table_but_outsiders_have_only_their_own_profile() {
    // `profile:*` of an outsider meant every profile.
    let corrected = [("client", "profile:*", "own"), ("supplier", "profile:*", "own")];
    check("back-office", include_str!("../../presets/expected/back-office.txt"), &corrected);
}

#[test]
fn metadata_service_is_its_table_but_the_administrator_may_do_everything() {
    // The administrator's `ALL` was compared for equality, and so matched nothing at all.
    let corrected = [("admin", "*", "tenant")];
    check("metadata-service", include_str!("../../presets/expected/metadata-service.txt"), &corrected);
}

#[test]
fn security_operations_is_its_table_with_the_hierarchy_the_right_way_up() {
    // What the seniors have of the juniors: security_admin of security_analyst, and both of user. No junior has what a senior has.
    let corrected = [
        ("security_admin", "threats:analyze", "department"),
        ("security_admin", "reports:read", "own"),
        ("security_admin", "dashboard:read", "own"),
        ("security_admin", "profile:manage", "own"),
        ("security_analyst", "reports:read", "own"),
        ("security_analyst", "dashboard:read", "own"),
        ("security_analyst", "profile:manage", "own"),
    ];
    check("security-operations", include_str!("../../presets/expected/security-operations.txt"), &corrected);
}

#[test]
fn an_analyst_does_not_become_administrator_through_the_hierarchy() {
    // The hierarchy was documented with the junior role as heir of the senior one, up to `*:*`.
    let preset = Preset::named("security-operations").unwrap();
    for permission in ["policies:manage", "security:manage", "models:deploy", "data:export"] {
        assert_eq!(reach(&preset, "security_analyst", &permission.parse().unwrap()), None, "{permission}");
    }
    let includes = |role: &str| {
        let role = preset.roles().iter().find(|known| known.id.as_str() == role).unwrap();
        role.includes.iter().map(RoleId::as_str).collect::<Vec<_>>()
    };
    assert_eq!(includes("admin"), ["security_admin"]);
    assert_eq!(includes("security_admin"), ["security_analyst"]);
    assert_eq!(includes("security_analyst"), ["user"]);
}

#[test]
fn every_preset_names_only_what_it_registers_and_includes_only_its_own_roles() {
    assert_eq!(Preset::names().count(), Preset::all().count());
    for (name, preset) in Preset::names().zip(Preset::all()) {
        assert_eq!(preset.name.as_str(), name);
        let ids: BTreeSet<&RoleId> = preset.roles().iter().map(|role| &role.id).collect();
        assert_eq!(ids.len(), preset.roles().len(), "{name}: each role once");
        for role in preset.roles() {
            assert_eq!(
                preset.registry().unknown(role.permissions.iter().chain(&role.excludes)),
                [],
                "{name}"
            );
            assert!(role.includes.iter().all(|included| ids.contains(included)), "{name}: {}", role.id);
            assert!(role.active && !role.system, "{name}: {}", role.id);
            // Written in a tenant as well as on the platform.
            assert!(role.permissions.iter().all(|one| one.scope() <= PermissionScope::Tenant), "{}", role.id);
        }
        assert!(preset.registry().administrative().count() > 0, "{name}");
    }
}

#[test]
fn in_every_preset_somebody_is_administrator_and_not_everybody() {
    for preset in Preset::all() {
        let administrators = preset.roles().iter().filter(|role| {
            let mut needed = preset.registry().administrative();
            needed.all(|one| reach(&preset, role.id.as_str(), &one) == Some(PermissionScope::Tenant))
        });
        let administrators: Vec<&str> = administrators.map(|role| role.id.as_str()).collect();
        let expected = if preset.roles().iter().any(|role| role.id.as_str() == "super_admin") {
            "super_admin"
        } else {
            "admin"
        };
        assert!(administrators.contains(&expected), "{}: {administrators:?}", preset.name);
        assert!(administrators.len() <= 2, "{}: {administrators:?}", preset.name);
    }
}

#[test]
fn presets_read_back_as_written_and_an_unknown_name_says_what_there_is() {
    for preset in Preset::all() {
        let written = serde_json::to_string(&preset).unwrap();
        assert_eq!(serde_json::from_str::<Preset>(&written).unwrap(), preset);
    }
    let error = Preset::named("backoffice").unwrap_err().to_string();
    let all = "ai-platform, back-office, metadata-service, security-operations";
    assert_eq!(error, format!("there is no preset `backoffice`; did you mean `back-office`; there is {all}"));
}
