//! Puts what is wrong with a request into words for whoever sent it.

use serde_json::error::Category;
use serde_path_to_error::Error;

use crate::failure::Failure;

/// The least likeness (Jaro-Winkler, 0 to 1) of a name to one that was meant.
const ALIKE: f64 = 0.8;

/// Describes a body that is no JSON, or has more after it.
pub(crate) fn in_json(error: &serde_json::Error) -> Failure {
    Failure::invalid(format!("the body is not valid JSON: {error}"))
}

/// Describes a body that is no JSON, or of which a field is wrong.
pub(crate) fn in_body(error: &Error<serde_json::Error>) -> Failure {
    match error.inner().classify() {
        Category::Data => Failure::invalid(describe("field", error)),
        Category::Syntax | Category::Eof | Category::Io => in_json(error.inner()),
    }
}

/// Describes a parameter that is wrong.
pub(crate) fn in_parameter(error: &Error<serde_json::Error>) -> Failure {
    Failure::invalid(describe("parameter", error))
}

/// Names the place of a mistake, and what is wrong there.
pub(crate) fn describe(what: &str, error: &Error<serde_json::Error>) -> String {
    let message = error.inner().to_string();
    // A position says little where the field is named.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let suggestion =
        suggestion(message).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    match error.path().to_string().as_str() {
        "." => format!("{message}{suggestion}"),
        path => format!("{what} `{path}`: {message}{suggestion}"),
    }
}

/// Finds what was meant, in a message of the form "unknown field `nmae`, expected one of `name`, `tier`".
fn suggestion(message: &str) -> Option<&str> {
    let names =
        message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let (given, known) = names.split_once(", expected ")?;
    let given = given.trim_matches('`');
    let known = known.split('`').skip(1).step_by(2);
    let alike =
        known.map(|name| (strsim::jaro_winkler(given, name), name)).filter(|(alike, _)| *alike >= ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Request {
        name: String,
        roles: Vec<stanchion_core::Slug>,
    }

    fn detail(body: &str) -> String {
        let failure = crate::call::json::<Request>(body.as_bytes()).unwrap_err();
        failure.problem.detail.unwrap().to_string()
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_its_remedy() {
        assert_eq!(
            detail(r#"{"nmae":"x"}"#),
            "field `nmae`: unknown field `nmae`, expected `name` or `roles`; did you mean `name`?"
        );
        assert_eq!(detail(r#"{"name":1}"#), "field `name`: invalid type: integer `1`, expected a string");
        assert_eq!(detail(r#"{"name":"x"}"#), "missing field `roles`");
        assert_eq!(
            detail(r#"{"name":"x","roles":["a","B"]}"#),
            "field `roles[1]`: `B` is not a name: use 1 to 64 of a-z, 0-9, `_`, `-`, `.`, beginning with a letter or digit"
        );
        assert_eq!(detail("{"), "the body is not valid JSON: EOF while parsing an object at line 1 column 1");
        assert_eq!(
            detail(r#"{"name":"x","roles":[]}}"#),
            "the body is not valid JSON: trailing characters at line 1 column 24"
        );
    }

    #[test]
    fn a_name_unlike_any_other_gets_no_suggestion() {
        assert_eq!(detail(r#"{"xyz":"x"}"#), "field `xyz`: unknown field `xyz`, expected `name` or `roles`");
    }
}
