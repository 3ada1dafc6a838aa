use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stanchion_core::Text;

use crate::Request;

/// What a rule asks of an attribute of the request. Of `equals`, `one_of`, `prefix` and `cidr` there is exactly one.
///
/// An attribute that the request does not have fulfils no condition, also no negated one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The attribute: `ip`, `route`, `tenant`, `subject`, `api_key`, or a name that the enforcement point gives, such as `method`.
    pub attribute: Text,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Text>,
    /// Its value is one of these, up to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Text>>,
    /// How its value begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Text>,
    /// The network that the address lies in: `10.0.0.0/8`, `2001:db8::/32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub cidr: Option<IpNet>,
    /// Whether the opposite is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
}

impl Condition {
    /// Asks that an attribute has a value.
    #[must_use]
    pub fn equals(attribute: impl Into<Text>, value: impl Into<Text>) -> Self {
        Self {
            attribute: attribute.into(),
            equals: Some(value.into()),
            one_of: None,
            prefix: None,
            cidr: None,
            not: false,
        }
    }

    /// Says what is wrong with it, and how to mend it.
    pub(crate) fn problem(&self) -> Option<String> {
        const NAME: usize = 64;
        const VALUES: usize = 1_000;
        let name = self.attribute.as_str();
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        if !(1..=NAME).contains(&name.len()) || !name.bytes().all(is_name) {
            return Some(format!("`{name}` is no attribute: use 1 to {NAME} of a-z, 0-9, `_`, `.` and `-`"));
        }
        let tests =
            [self.equals.is_some(), self.one_of.is_some(), self.prefix.is_some(), self.cidr.is_some()];
        match tests.into_iter().filter(|is_given| *is_given).count() {
            1 => {}
            0 => return Some("it asks nothing: give one of equals, one_of, prefix, cidr".to_owned()),
            _ => {
                return Some(
                    "it asks twice: give one of equals, one_of, prefix, cidr, and a condition for each"
                        .to_owned(),
                );
            }
        }
        match &self.one_of {
            Some(values) if values.is_empty() => {
                Some("`one_of` is empty, so it would never hold: name a value".to_owned())
            }
            Some(values) if values.len() > VALUES => Some(format!("`one_of` takes at most {VALUES} values")),
            _ => None,
        }
    }

    /// Tells whether it holds.
    pub(crate) fn holds(&self, request: &Request<'_>) -> bool {
        let fulfilled = if let Some(network) = &self.cidr {
            address(self.attribute.as_str(), request).map(|ip| contains(network, ip))
        } else {
            with_attribute(self.attribute.as_str(), request, |value| self.accepts(value))
        };
        fulfilled.is_some_and(|fulfilled| fulfilled != self.not)
    }

    /// Returns the values, one of which the attribute must have, where that is what it asks.
    pub(crate) fn values(&self) -> Option<&[Text]> {
        match (&self.equals, &self.one_of) {
            _ if self.not => None,
            (Some(value), _) => Some(std::slice::from_ref(value)),
            (None, Some(values)) => Some(values),
            (None, None) => None,
        }
    }

    fn accepts(&self, value: &str) -> bool {
        let is = |wanted: &Text| wanted.as_str() == value;
        self.equals.as_ref().is_some_and(is)
            || self.one_of.as_ref().is_some_and(|values| values.iter().any(is))
            || self.prefix.as_ref().is_some_and(|prefix| value.starts_with(prefix.as_str()))
    }
}

/// Looks an attribute up: what the enforcement point gave first, then what every request has.
fn with_attribute<T>(name: &str, request: &Request<'_>, look: impl FnOnce(&str) -> T) -> Option<T> {
    if let Some((_, value)) = request.attributes.iter().find(|(given, _)| *given == name) {
        return Some(look(value));
    }
    match name {
        "ip" => request.ip.map(|ip| look(&ip.to_canonical().to_string())),
        "route" => request.route.map(look),
        "tenant" => request.tenant.map(|tenant| look(&tenant.to_string())),
        "subject" => request.subject.map(|subject| look(&subject.to_string())),
        "api_key" => request.key.map(|key| look(&key.to_string())),
        _ => None,
    }
}

fn address(name: &str, request: &Request<'_>) -> Option<IpAddr> {
    let given = request.attributes.iter().find(|(given, _)| *given == name);
    match given {
        Some((_, value)) => value.parse::<IpAddr>().ok(),
        None if name == "ip" => request.ip,
        None => None,
    }
}

fn contains(network: &IpNet, ip: IpAddr) -> bool {
    network.contains(&ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(json: &str) -> Condition {
        let condition: Condition = serde_json::from_str(json).unwrap();
        assert_eq!(condition.problem(), None, "{json}");
        condition
    }

    fn check(json: &str, value: &str, expected: bool) {
        let attributes = [("plan", value)];
        let request = Request { attributes: &attributes, ..Request::default() };
        assert_eq!(condition(json).holds(&request), expected, "{json} {value}");
        assert!(!condition(json).holds(&Request::default()), "what is not there fulfils nothing");
    }

    #[test]
    fn each_test_holds_for_what_it_says() {
        check(r#"{"attribute":"plan","equals":"pro"}"#, "pro", true);
        check(r#"{"attribute":"plan","equals":"pro"}"#, "Pro", false);
        check(r#"{"attribute":"plan","equals":"pro","not":true}"#, "free", true);
        check(r#"{"attribute":"plan","equals":"pro","not":true}"#, "pro", false);
        check(r#"{"attribute":"plan","one_of":["pro","team"]}"#, "team", true);
        check(r#"{"attribute":"plan","prefix":"pro-"}"#, "pro-2", true);
        check(r#"{"attribute":"plan","prefix":"pro-"}"#, "pro", false);
        check(r#"{"attribute":"plan","cidr":"10.0.0.0/8"}"#, "10.1.2.3", true);
        check(r#"{"attribute":"plan","cidr":"10.0.0.0/8"}"#, "::ffff:10.1.2.3", true);
        check(r#"{"attribute":"plan","cidr":"10.0.0.0/8","not":true}"#, "11.1.2.3", true);
        check(r#"{"attribute":"plan","cidr":"10.0.0.0/8"}"#, "no address", false);
        check(r#"{"attribute":"plan","cidr":"10.0.0.0/8","not":true}"#, "no address", false);
    }

    #[test]
    fn the_address_and_the_route_are_there_without_being_given() {
        let ip = Some("2001:db8::1".parse().unwrap());
        let request = Request { ip, route: Some("chat"), ..Request::default() };
        assert!(condition(r#"{"attribute":"ip","cidr":"2001:db8::/32"}"#).holds(&request));
        assert!(condition(r#"{"attribute":"route","prefix":"ch"}"#).holds(&request));
        let attributes = [("route", "given")];
        let given = Request { attributes: &attributes, ..request };
        assert!(condition(r#"{"attribute":"route","equals":"given"}"#).holds(&given));
    }

    #[test]
    fn what_asks_nothing_or_twice_is_said_to() {
        for (json, expected) in [
            (r#"{"attribute":"plan"}"#, "it asks nothing"),
            (r#"{"attribute":"plan","equals":"a","prefix":"b"}"#, "it asks twice"),
            (r#"{"attribute":"Plan","equals":"a"}"#, "`Plan` is no attribute"),
            (r#"{"attribute":"plan","one_of":[]}"#, "`one_of` is empty"),
        ] {
            let problem = serde_json::from_str::<Condition>(json).unwrap().problem().unwrap();
            assert!(problem.starts_with(expected), "{problem}");
        }
        assert!(serde_json::from_str::<Condition>(r#"{"attribute":"plan","matches":"a"}"#).is_err());
        assert!(serde_json::from_str::<Condition>(r#"{"attribute":"plan","equals":7}"#).is_err());
        assert!(serde_json::from_str::<Condition>(r#"{"attribute":"ip","cidr":"10.0.0.0/33"}"#).is_err());
    }
}
