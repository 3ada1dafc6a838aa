use http::StatusCode;

use crate::http_client::Answer;
use crate::json::{at, text};

/// One promise: what was asked, what came back, and what of it is not as it should be.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    lines: Vec<String>,
    broken: Vec<String>,
}

impl Scene {
    /// Notes a claim that does not hold.
    pub(crate) fn check(&mut self, holds: bool, claim: impl Into<String>) {
        if !holds {
            self.broken.push(claim.into());
        }
    }

    /// Shows a line.
    pub(crate) fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    pub(crate) fn status(&mut self, answer: &Answer, expected: StatusCode) {
        self.check(answer.status == expected, format!("the status is {}", expected.as_u16()));
    }

    pub(crate) fn problem(&mut self, answer: &Answer, status: StatusCode, code: &str) {
        self.status(answer, status);
        let media_type = answer.header("content-type");
        self.check(media_type == Some("application/problem+json"), "the body is a problem document");
        self.check(text(&answer.json(), "/code") == code, format!("its code is `{code}`"));
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }

    /// Returns what was asked and what came back.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Returns what is not as it should be.
    pub(crate) fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Shows a field of an answer's head.
    pub(crate) fn tell_field(&mut self, answer: &Answer, name: &str) {
        if let Some(value) = answer.header(name) {
            self.say(format!("{name}: {value}"));
        }
    }

    /// Shows what a problem document says.
    pub(crate) fn tell_problem(&mut self, answer: &Answer) {
        let problem = answer.json();
        let said = if at(&problem, "/detail").is_null() { "/title" } else { "/detail" };
        self.say(format!("{}: {}", text(&problem, "/code"), text(&problem, said)));
    }
}
