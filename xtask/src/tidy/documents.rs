//! Documents are finished and speak of no one machine.

use std::fs;

use cargo_metadata::camino::Utf8Path;

use super::Finding;
use crate::source;

/// Where machines keep what is theirs: a path below is nobody else's.
const MACHINE: [&str; 4] = ["/work", "/root", "/home", "/Users"];
const UNFINISHED: &str = "TODO";

pub(super) fn check_all(root: &Utf8Path) -> Result<Vec<Finding>, String> {
    let docs = root.join("docs");
    let mut paths = if docs.is_dir() { source::files(&docs)? } else { Vec::new() };
    paths.extend([root.join("README.md")].into_iter().filter(|path| path.is_file()));
    let mut findings = Vec::new();
    for path in paths {
        // What is not text is a picture.
        if let Ok(text) = fs::read_to_string(&path) {
            findings.extend(check(path.strip_prefix(root).unwrap_or(&path).as_str(), &text));
        }
    }
    Ok(findings)
}

fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let at = || format!("{path}:{number}");
        for machine in MACHINE.iter().filter(|machine| mentions(line, machine)) {
            findings.push(Finding::new(
                at(),
                format!("a path of one machine, `{machine}`"),
                "make it relative",
            ));
        }
        if mentions(line, UNFINISHED) {
            findings.push(Finding::new(at(), format!("`{UNFINISHED}`"), "finish it or leave it out"));
        }
    }
    findings
}

/// Whether the line has `word` by itself, not as part of a longer name or path.
fn mentions(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "_-.~".contains(letter);
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line.get(start + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part_after)
    })
}

fn is_part_after(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        check("README.md", text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paths_of_one_machine_are_refused() {
        let expected = |path| format!("README.md:2: a path of one machine, `{path}`; make it relative");
        assert_eq!(findings("x\nsee `/work/main/x`."), [expected("/work")]);
        assert_eq!(findings("x\n(/root)"), [expected("/root")]);
        assert_eq!(findings("x\nfile:///home/me"), [expected("/home")]);
    }

    #[test]
    fn other_paths_are_permitted() {
        assert_eq!(findings("docs/work ~/work ./root /workers /root-key /usr/lib"), [""; 0]);
    }

    #[test]
    fn unfinished_documents_are_refused() {
        assert_eq!(findings("TODO: write"), ["README.md:1: `TODO`; finish it or leave it out"]);
        assert_eq!(findings("TODOS and MYTODO"), [""; 0]);
    }
}
