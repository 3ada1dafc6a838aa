use super::*;

/// Written with Envoy's own protocol (the Python package `xds-protos` 1.85.0): a request with two descriptors, the first with a limit
/// of 42 a minute and 5 hits of its own, the second with 0.
const REQUEST: &[u8] = b"\x0a\x04edge\
    \x12\x38\x0a\x1d\x0a\x0eremote_address\x12\x0b203.0.113.7\x0a\x0d\x0a\x04user\x12\x05alice\x12\x04\x08\x2a\x10\x02\x1a\x02\x08\x05\
    \x12\x18\x0a\x14\x0a\x0bgeneric_key\x12\x05login\x1a\x00\
    \x18\xac\x02";

/// Written in the same way: over the limit of 100 a minute in the first descriptor, 7 left, 61 s to go.
const RESPONSE: &[u8] = b"\x08\x02\
    \x12\x16\x08\x02\x12\x0c\x08\x64\x10\x02\x1a\x06per-ip\x18\x07\x22\x02\x08\x3d\
    \x12\x02\x08\x01\
    \x1a\x11\x0a\x0bretry-after\x12\x0261\
    \x32\x12\x0a\x10\x0a\x04rule\x12\x08\x1a\x06per-ip";

#[test]
fn a_request_is_read_by_the_numbers_of_the_protocol() {
    let entry = |key: &str, value: &str| Entry { key: key.to_owned(), value: value.into() };
    let request = RateLimitRequest {
        domain: "edge".to_owned(),
        descriptors: vec![
            RateLimitDescriptor {
                entries: vec![entry("remote_address", "203.0.113.7"), entry("user", "alice")],
                limit: Some(RateLimitOverride {}),
                hits_addend: Some(5),
                is_negative_hits: false,
            },
            RateLimitDescriptor {
                entries: vec![entry("generic_key", "login")],
                limit: None,
                hits_addend: Some(0),
                is_negative_hits: false,
            },
        ],
        hits_addend: 300,
    };
    assert_eq!(RateLimitRequest::decode(REQUEST), Ok(request));
}

#[test]
fn hits_that_are_given_back_are_seen() {
    // Field 4 as a varint, 1: as of Envoy 1.38.
    let descriptor = RateLimitDescriptor::decode([0x20, 0x01].as_slice());
    assert!(descriptor.is_ok_and(|descriptor| descriptor.is_negative_hits));
}

#[test]
fn a_response_is_written_by_the_numbers_of_the_protocol() {
    let limit = RateLimit { requests_per_unit: 100, unit: Unit::Minute.into(), name: "per-ip".to_owned() };
    let value = Value { string_value: Some("per-ip".to_owned()) };
    let response = RateLimitResponse {
        overall_code: Code::OverLimit.into(),
        statuses: vec![
            DescriptorStatus {
                code: Code::OverLimit.into(),
                current_limit: Some(limit),
                limit_remaining: 7,
                duration_until_reset: Some(Duration { seconds: 61 }),
            },
            DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() },
        ],
        response_headers_to_add: vec![HeaderValue { key: "retry-after".to_owned(), value: "61".to_owned() }],
        dynamic_metadata: Some(Struct { fields: [("rule".to_owned(), value)].into() }),
    };
    assert_eq!(response.encode_to_vec(), RESPONSE);
}
