use http::HeaderMap;
use http::header::AUTHORIZATION;
use stanchion_core::{Problem, ProblemCode};

/// Finds the one credential of a request: `Authorization: Bearer …` or `X-API-Key`.
///
/// `Ok(None)` when there is none.
///
/// # Errors
/// `request_rejected` when there are several that differ: which one counts would be anybody's guess.
pub fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    let keys = headers.get_all("x-api-key").iter().map(http::HeaderValue::as_bytes);
    let mut found: Option<&[u8]> = None;
    for credential in bearer.chain(keys) {
        if found.is_some_and(|found| found != credential) {
            let detail = "the request carries two different credentials; send one";
            return Err(Problem::new(ProblemCode::RequestRejected, detail));
        }
        found = Some(credential);
    }
    // Bytes that are no text are no credential of ours: they are shown to the authenticator as such, to be counted as malformed.
    Ok(found.map(|found| std::str::from_utf8(found).unwrap_or("")))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn either_field_carries_the_credential() {
        assert_eq!(presented(&headers(&[])).unwrap(), None);
        assert_eq!(presented(&headers(&[("authorization", "Basic eDp5")])).unwrap(), None);
        assert_eq!(presented(&headers(&[("authorization", "bearer  a")])).unwrap(), Some("a"));
        assert_eq!(presented(&headers(&[("x-api-key", "a")])).unwrap(), Some("a"));
        assert_eq!(
            presented(&headers(&[("x-api-key", "a"), ("authorization", "Bearer a")])).unwrap(),
            Some("a")
        );
    }

    #[test]
    fn two_different_credentials_are_refused() {
        assert!(presented(&headers(&[("x-api-key", "a"), ("authorization", "Bearer b")])).is_err());
        assert!(presented(&headers(&[("x-api-key", "a"), ("x-api-key", "b")])).is_err());
    }
}
