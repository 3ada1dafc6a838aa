use std::borrow::Cow;

use stanchion_core::{Problem, ProblemCode};

/// A request path in its one form: what is matched, authorized, recorded and forwarded are the same bytes.
///
/// Percent-encoded unreserved characters are decoded, other encodings are upper-cased, dot segments are resolved and runs of `/`
/// become one (RFC 3986 §6.2.2). What two servers could read in two ways is refused: encoded `/`, `\` and NUL, a `\`, an encoding of
/// an encoding, and a path that climbs above the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'a>(Cow<'a, str>);

impl<'a> NormalPath<'a> {
    /// Normalises a path that begins with `/`, without its query.
    ///
    /// # Errors
    /// `request_rejected`, saying what is ambiguous.
    pub fn new(raw: &'a str) -> Result<Self, Problem> {
        if !raw.starts_with('/') {
            return Err(rejected("the path must begin with `/`"));
        }
        let bytes = raw.as_bytes();
        let plain = |(index, byte): (usize, &u8)| match byte {
            b'%' | b'\\' => false,
            b'/' => !matches!(bytes.get(index + 1), Some(b'/' | b'.')),
            byte => byte.is_ascii_graphic(),
        };
        if bytes.iter().enumerate().all(plain) {
            return Ok(Self(Cow::Borrowed(raw)));
        }
        let decoded = decode(bytes)?;
        Ok(Self(Cow::Owned(resolve(&decoded)?)))
    }

    /// Borrows the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn rejected(detail: &'static str) -> Problem {
    Problem::new(ProblemCode::RequestRejected, detail)
}

fn decode(raw: &[u8]) -> Result<String, Problem> {
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'\\' {
            return Err(rejected("the path holds a backslash"));
        }
        if byte != b'%' {
            if !byte.is_ascii_graphic() {
                return Err(rejected("the path holds a character that must be percent-encoded"));
            }
            decoded.push(char::from(byte));
            continue;
        }
        let mut hex = || rest.next().and_then(|&digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (hex(), hex()) else {
            return Err(rejected("`%` in the path is not followed by two hexadecimal digits"));
        };
        let value = u8::try_from(high * 16 + low).unwrap_or(0);
        match value {
            b'/' | b'\\' | 0 => return Err(rejected("the path holds an encoded `/`, `\\` or NUL")),
            b'%' => {
                let next_two = rest.as_slice().get(..2);
                if next_two.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(rejected("the path is encoded twice"));
                }
                decoded.push_str("%25");
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                decoded.push(char::from(value))
            }
            _ => {
                decoded.push('%');
                for digit in [high, low] {
                    decoded.extend(char::from_digit(digit, 16).map(|digit| digit.to_ascii_uppercase()));
                }
            }
        }
    }
    Ok(decoded)
}

fn resolve(path: &str) -> Result<String, Problem> {
    let mut segments: Vec<&str> = Vec::new();
    let mut trailing_slash = true;
    for segment in path.split('/').skip(1) {
        trailing_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                if segments.pop().is_none() {
                    return Err(rejected("the path climbs above the root"));
                }
            }
            segment => segments.push(segment),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &segments {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if trailing_slash {
        resolved.push('/');
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, normal: &str) {
        let path = NormalPath::new(raw).unwrap_or_else(|problem| panic!("{raw}: {problem}"));
        assert_eq!(path.as_str(), normal, "{raw}");
        let again = NormalPath::new(normal).unwrap_or_else(|problem| panic!("{normal}: {problem}"));
        assert_eq!(again.as_str(), normal, "normalising twice changes {raw}");
    }

    #[test]
    fn one_path_has_one_form() {
        check("/", "/");
        check("/v1/users", "/v1/users");
        check("/v1/%75sers/%7e", "/v1/users/~");
        check("/a%c3%a4/b%20c", "/a%C3%A4/b%20c");
        check("//a///b/", "/a/b/");
        check("/a/./b/../c", "/a/c");
        check("/a/%2e%2E/admin", "/admin");
        check("/a/..", "/");
        check("/a/b/.", "/a/b/");
        check("/.hidden/..b", "/.hidden/..b");
        check("/100%25", "/100%25");
        check("/100%25/x", "/100%25/x");
    }

    #[test]
    fn what_two_servers_could_read_in_two_ways_is_refused() {
        for raw in [
            "",
            "a",
            "*",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/%252e%252e/",
            "/%",
            "/%2",
            "/%zz",
            "/..",
            "/a/../../b",
            "/a b",
            "/ä",
            "/a\u{7f}",
        ] {
            assert!(NormalPath::new(raw).is_err(), "{raw:?}");
        }
    }
}
