use std::io::{self, Write};
use std::net::SocketAddr;

use crate::quickstart::seed::People;
use crate::terminal::Paint;

/// What the quickstart promises, one line for each thing worth seeing.
pub(crate) mod promise {
    pub(crate) const PERMITTED: &str = "Alice may read reports: 200, with what is left of her limits";
    pub(crate) const UNAUTHENTICATED: &str = "Without a key nobody gets in: 401";
    pub(crate) const FORBIDDEN: &str = "Bob is a viewer and may not delete: 403";
    pub(crate) const ISOLATED: &str = "Carol is of globex; saying acme does not make her so: 403";
    pub(crate) const LIMITED: &str = "The fourth burst in a minute is too much: 429 and when to retry";
    pub(crate) const RECORDED: &str = "Every decision is on record, in a chain that verifies";
    pub(crate) const METERED: &str = "Usage is counted exactly, and priced";
}

/// Where the quickstart answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Tells what there is and what to paste into another terminal.
pub(crate) fn tell(
    out: &mut dyn Write,
    paint: Paint,
    places: Places,
    people: &People,
    month: &str,
) -> io::Result<()> {
    let Places { gateway, admin } = places;
    writeln!(out, "{}", paint.strong("Stanchion quickstart: all in memory, gone when it ends"))?;
    writeln!(out)?;
    writeln!(out, "  gateway    http://{gateway}   before a demo service that echoes")?;
    writeln!(out, "  admin API  http://{admin}   described at /docs")?;
    writeln!(out)?;
    writeln!(out, "{}", paint.strong("In another terminal, first the tenant and the keys"))?;
    writeln!(out)?;
    writeln!(out, "  export ACME={}", people.acme)?;
    for (name, key, who) in [
        ("ALICE", &people.alice, "acme, admin"),
        ("BOB", &people.bob, "acme, viewer"),
        ("CAROL", &people.carol, "globex, admin"),
    ] {
        writeln!(out, "  export {name}={} {}", key.expose(), paint.faint(&format!("# {who}")))?;
    }
    let scenes: [(&str, Vec<String>); 7] = [
        (promise::PERMITTED, vec![format!("curl -i -H \"x-api-key: $ALICE\" http://{gateway}/reports/7")]),
        (promise::UNAUTHENTICATED, vec![format!("curl -i http://{gateway}/reports/7")]),
        (
            promise::FORBIDDEN,
            vec![format!("curl -i -X DELETE -H \"x-api-key: $BOB\" http://{gateway}/reports/7")],
        ),
        (
            promise::ISOLATED,
            vec![
                "curl -i -H \"x-api-key: $CAROL\" -H \"x-tenant-id: $ACME\" \\".to_owned(),
                format!("  http://{gateway}/reports/7"),
            ],
        ),
        (
            promise::LIMITED,
            vec![
                "for n in 1 2 3 4; do".to_owned(),
                format!("  curl -si -H \"x-api-key: $ALICE\" http://{gateway}/burst |"),
                "  grep -iE '^(HTTP|retry-after)'; done".to_owned(),
            ],
        ),
        (
            promise::RECORDED,
            vec![
                format!("curl -H \"x-api-key: $ALICE\" \"http://{admin}/v1/audit/events?limit=1\""),
                format!("curl -H \"x-api-key: $ALICE\" http://{admin}/v1/audit/verification"),
            ],
        ),
        (
            promise::METERED,
            vec![format!("curl -H \"x-api-key: $ALICE\" \"http://{admin}/v1/usage?period={month}\"")],
        ),
    ];
    for (number, (promise, lines)) in (1..).zip(scenes) {
        writeln!(out)?;
        writeln!(out, "{}", paint.strong(&format!("{number}. {promise}")))?;
        lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    writeln!(out)?;
    writeln!(out, "Ctrl-C ends it. `stanchion quickstart --once` does all of this and checks it.")?;
    out.flush()
}
