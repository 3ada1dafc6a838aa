//! `cargo xtask tidy`: the rules of the workspace that no compiler knows.

mod conformance;
mod documents;
mod layers;
mod manifests;
mod modules;
mod outside;

use std::fmt;

use crate::cargo::Workspace;
use crate::ports::Ports;
use crate::{Outcome, source};

/// A broken rule: where, what, and how to mend it.
#[derive(Debug, PartialEq)]
struct Finding {
    at: String,
    what: String,
    mend: String,
}

impl Finding {
    fn new(at: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.at, self.what, self.mend)
    }
}

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let sources = source::load(workspace.root())?;
    let members = workspace.metadata.workspace_packages();
    let crates: Vec<_> = members.iter().map(|package| layers::Crate::from(*package)).collect();

    let mut findings = layers::check(&crates);
    findings.extend(outside::check(&crates, &outside::Graph::from(&workspace.metadata)));
    findings.extend(manifests::check_all(workspace)?);
    findings.extend(modules::check(&sources));
    findings.extend(conformance::check(&Ports::find(&sources)));
    findings.extend(documents::check_all(workspace.root())?);
    modules::report(&sources);

    if findings.is_empty() {
        println!("tidy");
        return Ok(());
    }
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    let many = if lines.len() == 1 { "finding" } else { "findings" };
    Err(format!("{}\n{} {many}", lines.join("\n"), lines.len()))
}
