use std::net::IpAddr;

use http::{HeaderMap, Method};

use crate::NormalPath;

/// What a decision is made on: the head of a request, normalised once.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host it asks for, in lower case and without a port; empty when it names none.
    pub host: &'a str,
    /// The path.
    pub path: &'a NormalPath<'a>,
    /// The header fields, as the client sent them. Credentials and the tenant's confirmation are read from here.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub ip: IpAddr,
    /// The length of the body, if the client has stated it.
    pub content_length: Option<u64>,
}
