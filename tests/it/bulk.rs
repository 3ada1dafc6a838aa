//! Records of access control by the thousand, by the commands.

use std::path::Path;

use crate::harness::{World, command};

fn access(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(["access"]);
    let command = command.args(args).env("STANCHION_SERVER", format!("http://{}", world.program.admin));
    let output = command.env("STANCHION_KEY", &world.program.key).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn people_are_imported_in_pieces_and_exported_into_another_tenant() {
    let world = World::on_postgres("");
    world.tenant("globex");
    let (people, all, again) = (
        world.program.site.path("people.csv"),
        world.program.site.path("all.jsonl"),
        world.program.site.path("again.jsonl"),
    );
    // More than one piece, of which some are bad.
    let mut file = String::from("subject,role,reason\n");
    for number in 0..20_000 {
        let role = if number % 10_000 == 7 { "ghost" } else { "clerk" };
        file.push_str(&format!("user:person-{number},{role},\"moved in\nfrom elsewhere\"\n"));
    }
    std::fs::write(&people, &file).expect("writes");
    let put = ["clerk", "--name", "Clerk", "--permission", "bill:read", "--tenant", "acme"];
    let made = command(["role", "put"])
        .args(put)
        .env("STANCHION_SERVER", format!("http://{}", world.program.admin))
        .env("STANCHION_KEY", &world.program.key)
        .output()
        .expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let (code, said, complaint) = access(&world, &["import", text(&people), "--tenant", "acme", "--dry-run"]);
    assert_eq!((code, complaint.as_str()), (Some(1), ""), "{said}");
    assert!(
        said.ends_with("20000 rows: 19998 would be written, 0 as they are already, 2 refused\n"),
        "{said}"
    );
    let (code, said, _) = access(&world, &["import", text(&people), "--tenant", "acme"]);
    let expected = "line 16, role: there is no role `ghost`; what a row needs stands before it or in the 1000 rows after it, \
                    and so do rows that need one another in a circle\nline 20016, role: there is no role `ghost`\n\
                    20000 rows: 19998 written, 0 as they are already, 2 refused\n";
    assert_eq!((code, said.as_str()), (Some(1), expected));
    let (_, said, _) =
        access(&world, &["import", text(&people), "--tenant", "acme", "--stop", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&report["stopped"], &report["unchanged"]), (&true.into(), &7.into()), "{report}");

    let (code, said, complaint) = access(&world, &["export", text(&all), "--tenant", "acme"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains("records"), "{said}");
    let (code, said, _) = access(&world, &["import", text(&all), "--tenant", "globex"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(access(&world, &["export", text(&again), "--tenant", "globex"]).0, Some(0));
    let without_givers = |path: &Path| {
        let file = std::fs::read_to_string(path).expect("reads");
        let mut lines: Vec<serde_json::Value> =
            file.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        for line in &mut lines {
            if let Some(held) = line.get_mut("assignment").and_then(|held| held.as_object_mut()) {
                held.remove("granted_by");
            }
        }
        lines
    };
    let (there, here) = (without_givers(&again), without_givers(&all));
    assert!(here.len() > 19_998);
    let texts = |all: &[serde_json::Value]| {
        all.iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(texts(&here).is_subset(&texts(&there)), "everything has come along");
}
