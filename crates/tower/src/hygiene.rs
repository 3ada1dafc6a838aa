use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// `x-request-id`: the id of the request. Always ours.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `x-tenant-id`: the tenant of the credential. A client may send it to confirm the tenant, never to choose it.
pub const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
/// `x-challenge-proof`: proves that a challenge was solved that a limit has asked for.
pub const CHALLENGE_PROOF: HeaderName = HeaderName::from_static("x-challenge-proof");
/// `x-subject-id`: the subject of the credential, `user:alice`.
pub const SUBJECT_ID: HeaderName = HeaderName::from_static("x-subject-id");

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Fields that concern one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields that say who is calling or from where, or prove something to us: never the client's to send through, and never to be removed
/// by naming them in `Connection`.
const IDENTITY: [HeaderName; 9] = [
    REQUEST_ID,
    TENANT_ID,
    SUBJECT_ID,
    CHALLENGE_PROOF,
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_PROTO,
    REAL_IP,
];

/// The head of a request that says one thing to us and might say another to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntrustworthyHead {
    /// What is wrong, for the client to read.
    pub detail: &'static str,
}

/// Checks that `Connection` names no field that others rely on: credentials, framing, `Host`, identity. Naming one would have it
/// removed on the way, and with it what somebody behind us decides by.
///
/// # Errors
/// [`UntrustworthyHead`] when it does, or when it holds something that is no field name.
pub fn check_request_head(headers: &HeaderMap) -> Result<(), UntrustworthyHead> {
    for name in nominated(headers) {
        let Some(name) = name else {
            return Err(UntrustworthyHead { detail: "`Connection` holds something that is no field name" });
        };
        if IDENTITY.contains(&name)
            || matches!(name, HOST | CONTENT_LENGTH | AUTHORIZATION)
            || name == API_KEY
        {
            let detail =
                "`Connection` names a field that carries identity, credentials or framing; leave it out";
            return Err(UntrustworthyHead { detail });
        }
    }
    Ok(())
}

/// Takes out of a checked request what must not reach the upstream: fields of this connection, those that `Connection` names,
/// everything that claims an identity, and the API key itself.
pub fn clean_request_head(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_all(headers, |name| {
        HOP_BY_HOP.contains(name) || IDENTITY.contains(name) || *name == API_KEY || is_identity_alias(name)
    });
    if headers.get(AUTHORIZATION).is_some_and(is_api_key) {
        headers.remove(AUTHORIZATION);
    }
}

/// Takes out of a response what concerns the upstream's connection only.
pub fn clean_response_head(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_all(headers, |name| HOP_BY_HOP.contains(name) || *name == REQUEST_ID);
}

/// Says where a cleaned request came from: `X-Forwarded-For`, `-Proto` and, if known, `-Host`.
pub fn set_forwarded(
    headers: &mut HeaderMap,
    client: IpAddr,
    proto: &'static str,
    host: Option<&HeaderValue>,
) {
    if let Ok(client) = HeaderValue::try_from(client.to_string()) {
        headers.insert(FORWARDED_FOR, client);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// Goes through the field names in `Connection`; `None` stands for something that is no name.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = Option<HeaderName>> {
    let fields =
        headers.get_all(CONNECTION).iter().filter(|field| *field != "keep-alive" && *field != "close");
    let tokens =
        fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    tokens.filter(|token| !token.is_empty()).map(|token| HeaderName::from_bytes(token).ok())
}

fn remove_nominated(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = nominated(headers).flatten().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Goes through the fields once: a head has few, and most have nothing to remove.
fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_api_key(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.get(..11).is_some_and(|start| start.eq_ignore_ascii_case(b"Bearer stn_"))
}

/// `x_tenant_id` becomes `x-tenant-id` in many a CGI-like upstream.
fn is_identity_alias(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.contains('_') && IDENTITY.iter().any(|known| name.replace('_', "-") == known.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn left(fields: &[(&'static str, &str)]) -> Vec<String> {
        let mut headers = headers(fields);
        check_request_head(&headers).unwrap();
        clean_request_head(&mut headers);
        let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn connection_fields_and_what_they_name_stay_behind() {
        let fields = [
            ("connection", "close, X-Debug"),
            ("x-debug", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ];
        assert_eq!(left(&fields), ["accept"]);
    }

    #[test]
    fn no_identity_but_ours_passes() {
        let fields = [
            ("x-request-id", "mine"),
            ("x-tenant-id", "other"),
            ("x_tenant_id", "other"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-api-key", "stn_test_1"),
            ("authorization", "bearer stn_test_1"),
            ("x_custom", "kept"),
        ];
        assert_eq!(left(&fields), ["x_custom"]);
    }

    #[test]
    fn a_token_that_is_not_ours_passes() {
        assert_eq!(left(&[("authorization", "Bearer eyJ0")]), ["authorization"]);
    }

    #[test]
    fn nominating_what_others_rely_on_is_refused() {
        for name in
            ["authorization", "x-api-key", "X-Forwarded-For", "host", "content-length", "x-tenant-id", "b@d"]
        {
            assert!(check_request_head(&headers(&[("connection", name)])).is_err(), "{name}");
        }
    }
}
