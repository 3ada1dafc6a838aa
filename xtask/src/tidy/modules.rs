//! Modules stay short and say what they hold; tests run, and wait for nothing.

use super::Finding;
use crate::source::{Source, Token};

const TOO_LONG: usize = 800;
const LONG: usize = 400;
/// Names that say nothing, and so collect everything.
const EMPTY_NAMES: [&str; 5] = ["utils", "helpers", "common", "manager", "misc"];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// Files whose tests may sleep, and why.
const MAY_SLEEP: [(&str, &str); 5] = [
    ("tests/it/harness/eventually.rs", "what another process does has no clock that a test could turn"),
    ("crates/redis/tests/outages/eventually.rs", "the same"),
    (
        "crates/postgres/tests/ledger.rs",
        "its timer is the real one: a ledger waits there for a real database",
    ),
    (
        "crates/postgres/tests/replicas.rs",
        "replicas poll by the clock of the machine, and how long that takes is measured",
    ),
    (
        "crates/redis/tests/wake/main.rs",
        "replicas poll by the clock of the machine, and how long that takes is measured",
    ),
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_source).collect()
}

/// Prints the longest modules, and those that are worth splitting.
pub(super) fn report(sources: &[Source]) {
    let mut modules: Vec<_> = sources.iter().filter(|source| source.is_module()).collect();
    modules.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.path.cmp(&b.path)));
    println!("longest modules, lines without tests:");
    for (rank, module) in modules.iter().enumerate().filter(|(rank, module)| *rank < 5 || module.lines > LONG)
    {
        let warning = if module.lines > LONG {
            format!("  warning: past {LONG}, look for the seam")
        } else {
            String::new()
        };
        println!("{:>3}. {:>4} {}{warning}", rank + 1, module.lines, module.path);
    }
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find =
        |line: usize, what: String, mend: &str| findings.push(Finding::new(source.at(line), what, mend));

    if source.is_module() && source.lines > TOO_LONG {
        find(1, format!("{} lines without tests, past {TOO_LONG}", source.lines), "split it at a seam");
    }
    let own_names = source.path.components().map(|part| part.as_str().trim_end_matches(".rs"));
    for name in own_names.filter(|name| EMPTY_NAMES.contains(name)) {
        find(1, format!("a module named `{name}`"), "name it after what it holds");
    }
    for window in source.tokens.windows(3) {
        if let [first, second, third] = window {
            if first.is("mod") && EMPTY_NAMES.contains(&second.text.as_str()) {
                find(first.line, format!("a module named `{}`", second.text), "name it after what it holds");
            }
            if UNFINISHED.contains(&first.text.as_str()) && second.is("!") && !third.is("=") {
                find(first.line, format!("`{}!`", first.text), "finish it");
            }
            if first.is("#") && second.is("[") && third.is("ignore") {
                find(first.line, "an ignored test".to_owned(), "run it or delete it");
            }
        }
    }
    if !MAY_SLEEP.iter().any(|(path, _)| source.path == *path) {
        for token in sleeps(&source.tokens).filter(|token| token.in_test || source.is_test()) {
            find(
                token.line,
                "a test sleeps".to_owned(),
                "drive it by a manual clock, or wait for the event itself",
            );
        }
    }
    findings
}

/// Names of `thread::sleep`, `time::sleep`, or a bare call of one that was imported.
fn sleeps(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    tokens.windows(5).filter_map(|window| {
        let [module, colon, _, name, after] = window else { return None };
        let by_path = (module.is("thread") || module.is("time")) && colon.is(":");
        let bare = after.is("(") && ![".", ":", "fn"].contains(&window.get(2)?.text.as_str());
        (name.is("sleep") && (by_path || bare)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text)]).iter().map(ToString::to_string).collect()
    }

    fn refuses(path: &str, text: &str, what: &str) {
        let findings = findings(path, text);
        assert!(matches!(findings.as_slice(), [one] if one.starts_with(what)), "{text}: {findings:?}");
    }

    #[test]
    fn modules_past_the_limit_are_refused() {
        let path = "crates/core/src/id.rs";
        assert_eq!(findings(path, &"//\n".repeat(800)), [""; 0]);
        refuses(path, &"//\n".repeat(801), "crates/core/src/id.rs:1: 801 lines without tests");
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(800), "//\n".repeat(99));
        assert_eq!(findings(path, &tests), [""; 0]);
        assert_eq!(findings("tests/it/main.rs", &"//\n".repeat(801)), [""; 0]);
    }

    #[test]
    fn empty_names_are_refused() {
        refuses("crates/core/src/utils.rs", "", "crates/core/src/utils.rs:1: a module named `utils`");
        refuses("tests/it/common/mod.rs", "", "tests/it/common/mod.rs:1: a module named `common`");
        refuses(
            "xtask/src/main.rs",
            "\npub(crate) mod helpers {}",
            "xtask/src/main.rs:2: a module named `helpers`",
        );
    }

    #[test]
    fn unfinished_code_is_refused_and_talk_of_it_is_not() {
        let path = "crates/core/src/id.rs";
        refuses(path, "fn f() { todo!() }", "crates/core/src/id.rs:1: `todo!`");
        refuses(path, "\n\nfn f() { dbg!(1); }", "crates/core/src/id.rs:3: `dbg!`");
        refuses(path, "fn f() { std::unimplemented! {} }", "crates/core/src/id.rs:1: `unimplemented!`");
        assert_eq!(findings(path, "// todo!()\nfn f() { g(\"dbg!(1)\"); todo != 1; }"), [""; 0]);
    }

    #[test]
    fn tests_that_do_not_run_are_refused() {
        let what = "tests/it/main.rs:2: an ignored test";
        refuses("tests/it/main.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", what);
    }

    #[test]
    fn tests_that_sleep_are_refused() {
        let path = "crates/core/tests/it.rs";
        for text in [
            "fn f() { std::thread::sleep(second); }",
            "async fn f() { tokio::time::sleep(second).await; }",
            "use std::{thread, thread::sleep as nap};",
            "fn f() { x; sleep(second); }",
        ] {
            refuses(path, text, "crates/core/tests/it.rs:1: a test sleeps");
        }
        let inline = "#[cfg(test)]\nmod tests { fn f() { thread::sleep(second) } }";
        refuses("crates/core/src/id.rs", inline, "crates/core/src/id.rs:2: a test sleeps");
    }

    #[test]
    fn what_only_looks_like_sleeping_is_permitted() {
        assert_eq!(
            findings("crates/core/tests/it.rs", "fn f() { timer.sleep(second); } fn sleep() {}"),
            [""; 0]
        );
        assert_eq!(findings("crates/core/src/time.rs", "fn f() { std::thread::sleep(second); }"), [""; 0]);
    }
}
