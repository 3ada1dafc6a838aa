use std::borrow::Cow;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as NoSuchName, StrDeserializer};
use stanchion_core::{
    Actor, AuthenticationMethod, Authorization, Category, Correlation, Detail, Details, Event, EventId,
    FieldChange, KeyId, Outcome, ProducerNumber, Recorded, RequestId, ResourceRef, Scope, Severity, Source,
    SubjectRef, Text, Timestamp,
};

use super::{MAX_DEPTH, MAX_EVENT_BYTES, MAX_INTEGER, SCHEMA, name_order, time};
use crate::Error;

/// Reads what `write::event` writes, field by field in the same order.
pub(super) fn event(bytes: &[u8]) -> Result<Event, Error> {
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::NotCanonical { offset: error.valid_up_to(), expected: "UTF-8" })?;
    let mut reader = Reader { rest: text, length: text.len() };
    let acted_as = if reader.takes("{\"acted_as\":") {
        let subject = reader.subject()?;
        reader.expect(",\"action\":", "the field `action`")?;
        Some(subject)
    } else {
        reader.expect("{\"action\":", "the field `action`")?;
        None
    };
    let action = reader.text()?;
    reader.expect(",\"actor\":", "the field `actor`")?;
    let actor = reader.actor()?;
    let authorization = reader.authorization()?;
    reader.expect(",\"category\":", "the field `category`")?;
    let category = reader.named("a category", Category::from_name)?;
    let changes = reader.changes()?;
    let correlation = reader.correlation()?;
    let details = if reader.takes(",\"details\":{") { reader.non_empty_map()? } else { Details::default() };
    reader.expect(",\"id\":", "the field `id`")?;
    let id = reader.id()?;
    reader.expect(",\"occurred_at\":", "the field `occurred_at`")?;
    let occurred_at = reader.time()?;
    reader.expect(",\"outcome\":", "the field `outcome`")?;
    let outcome = reader.named("an outcome", Outcome::from_name)?;
    let producer = if reader.takes(",\"producer\":") {
        Some(reader.named("a producer number", |text| text.parse::<ProducerNumber>().ok())?)
    } else {
        None
    };
    let reason = reader.optional(",\"reason\":")?;
    let reported = reader.takes(",\"reported\":true");
    reader.expect(",\"schema\":", "the field `schema`")?;
    reader.named(SCHEMA, |name| (name == SCHEMA).then_some(()))?;
    reader.expect(",\"scope\":", "the field `scope`")?;
    let scope = reader.scope()?;
    reader.expect(",\"severity\":", "the field `severity`")?;
    let severity = reader.named("a severity", Severity::from_name)?;
    let source = reader.source()?;
    let targets = reader.targets()?;
    reader.expect("}", "the end of the event")?;
    if !reader.rest.is_empty() {
        return reader.refuse("nothing more");
    }
    let mut event = Event::new(id, occurred_at, scope, actor, action, category);
    event.acted_as = acted_as;
    event.authorization = authorization;
    event.targets = targets;
    event.changes = changes;
    event.outcome = outcome;
    event.producer = producer;
    event.reason = reason;
    event.reported = reported;
    event.severity = severity;
    event.correlation = correlation;
    event.source = source;
    event.details = details;
    Ok(event)
}

struct Reader<'a> {
    rest: &'a str,
    length: usize,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&self, expected: &'static str) -> Result<T, Error> {
        Err(Error::NotCanonical { offset: self.length - self.rest.len(), expected })
    }

    fn takes(&mut self, literal: &str) -> bool {
        self.rest.strip_prefix(literal).map(|rest| self.rest = rest).is_some()
    }

    fn expect(&mut self, literal: &str, expected: &'static str) -> Result<(), Error> {
        if self.takes(literal) { Ok(()) } else { self.refuse(expected) }
    }

    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads a string; every escape must be the one that the writer uses.
    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect("\"", "a string")?;
        let mut decoded = String::new();
        loop {
            let special = self.rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
            let Some(literal) = special.and_then(|length| self.take(length)) else {
                return self.refuse("the end of a string");
            };
            if self.takes("\"") {
                if decoded.is_empty() {
                    return Ok(Cow::Borrowed(literal));
                }
                decoded.push_str(literal);
                return Ok(Cow::Owned(decoded));
            }
            decoded.push_str(literal);
            decoded.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        const SHORT: [(&str, char); 7] = [
            ("\\\"", '"'),
            ("\\\\", '\\'),
            ("\\b", '\u{8}'),
            ("\\t", '\t'),
            ("\\n", '\n'),
            ("\\f", '\u{c}'),
            ("\\r", '\r'),
        ];
        if let Some((_, char)) = SHORT.iter().find(|(escape, _)| self.takes(escape)) {
            return Ok(*char);
        }
        let code = self.rest.strip_prefix("\\u00").and_then(|rest| rest.get(..2));
        let code = code.filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let control = code
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|code| *code < 0x20 && !matches!(code, 0x08 | b'\t' | b'\n' | 0x0c | b'\r'));
        match control {
            Some(code) if self.take("\\u0000".len()).is_some() => Ok(char::from(code)),
            _ => self.refuse("the shortest escape"),
        }
    }

    fn text(&mut self) -> Result<Text, Error> {
        Ok(self.string()?.into_owned().into())
    }

    fn optional(&mut self, field: &str) -> Result<Option<Text>, Error> {
        if self.takes(field) { self.text().map(Some) } else { Ok(None) }
    }

    /// Reads a string that `known` has a value for.
    fn named<T>(
        &mut self,
        expected: &'static str,
        known: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        let before = self.rest;
        if let Some(value) = known(&self.string()?) {
            return Ok(value);
        }
        self.rest = before;
        self.refuse(expected)
    }

    fn id(&mut self) -> Result<EventId, Error> {
        self.named("a UUID in lower case", |text| {
            let id = text.parse::<EventId>().ok()?;
            let mut written = Vec::with_capacity(38);
            super::write::uuid(&mut written, id.uuid());
            (written.get(1..37) == Some(text.as_bytes())).then_some(id)
        })
    }

    fn time(&mut self) -> Result<Timestamp, Error> {
        self.named("a UTC time with six fraction digits", |text| {
            let parsed = Timestamp::parse_rfc3339(text).ok()?;
            let mut written = Vec::with_capacity(27);
            time::write(&mut written, parsed);
            (written == text.as_bytes()).then_some(parsed)
        })
    }

    fn scope(&mut self) -> Result<Scope, Error> {
        self.named("a scope", |text| {
            let scope = text.parse::<Scope>().ok()?;
            (scope.to_string() == text).then_some(scope)
        })
    }

    fn subject(&mut self) -> Result<SubjectRef, Error> {
        self.named("a subject", |text| text.parse().ok())
    }

    fn actor(&mut self) -> Result<Actor, Error> {
        if self.takes("{\"type\":\"anonymous\"}") {
            return Ok(Actor::Anonymous);
        }
        if self.takes("{\"name\":") {
            let name = self.text()?;
            self.expect(",\"type\":\"system\"}", "the type of a system actor")?;
            return Ok(Actor::System(name));
        }
        let key = if self.takes("{\"key\":") {
            let key = KeyId::from_uuid(self.id()?.uuid());
            self.expect(",", "the field `method`")?;
            Some(key)
        } else {
            self.expect("{", "an actor")?;
            None
        };
        self.expect("\"method\":", "the field `method`")?;
        let method = self.named("an authentication method", |name| {
            let name: StrDeserializer<'_, NoSuchName> = name.into_deserializer();
            AuthenticationMethod::deserialize(name).ok()
        })?;
        self.expect(",\"subject\":", "the field `subject`")?;
        let subject = self.subject()?;
        self.expect(",\"type\":\"subject\"}", "the type of a subject")?;
        Ok(Actor::Subject { subject, method, key })
    }

    fn resource(&mut self) -> Result<ResourceRef, Error> {
        self.named("a resource", |text| text.parse().ok())
    }

    fn authorization(&mut self) -> Result<Vec<Authorization>, Error> {
        let mut all = Vec::new();
        if !self.takes(",\"authorization\":[") {
            return Ok(all);
        }
        loop {
            all.push(self.one_authorization()?);
            if self.takes("]") {
                return Ok(all);
            }
            self.expect(",", "the next authorization")?;
        }
    }

    fn one_authorization(&mut self) -> Result<Authorization, Error> {
        self.expect("{", "an authorization")?;
        let by = if self.takes("\"by\":") {
            let by = self.resource()?;
            self.expect(",", "the field `granted`")?;
            Some(by)
        } else {
            None
        };
        let granted = self.takes("\"granted\":true");
        if !granted {
            self.expect("\"granted\":false", "the field `granted`")?;
        }
        self.expect(",\"permission\":", "the field `permission`")?;
        let permission = self.text()?;
        let resource = if self.takes(",\"resource\":") { Some(self.resource()?) } else { None };
        self.expect("}", "the end of an authorization")?;
        Ok(Authorization { permission, resource, granted, by })
    }

    fn changes(&mut self) -> Result<Vec<FieldChange>, Error> {
        let mut all = Vec::new();
        if !self.takes(",\"changes\":[") {
            return Ok(all);
        }
        loop {
            all.push(self.change()?);
            if self.takes("]") {
                return Ok(all);
            }
            self.expect(",", "the next change")?;
        }
    }

    fn change(&mut self) -> Result<FieldChange, Error> {
        self.expect("{", "a change")?;
        let after = self.recorded("\"after\":")?;
        let before = self.recorded("\"before\":")?;
        self.expect("\"field\":", "the field `field`")?;
        let field = self.text()?;
        self.expect("}", "the end of a change")?;
        Ok(FieldChange { field, before, after })
    }

    /// Reads a value that need not be there, and the comma after it.
    fn recorded(&mut self, name: &str) -> Result<Option<Recorded>, Error> {
        if !self.takes(name) {
            return Ok(None);
        }
        if self.takes("\"redacted\",") {
            return Ok(Some(Recorded::Redacted));
        }
        self.expect("{\"value\":", "a value or `redacted`")?;
        let value = self.value(1)?;
        self.expect("},", "the next field of a change")?;
        Ok(Some(Recorded::Value(value)))
    }

    fn correlation(&mut self) -> Result<Correlation, Error> {
        let mut correlation = Correlation::default();
        if !self.takes(",\"correlation\":{") {
            return Ok(correlation);
        }
        let mut fields = Fields::default();
        if fields.next(self, "\"parent\":") {
            correlation.parent = Some(self.id()?);
        }
        if fields.next(self, "\"request\":") {
            correlation.request = Some(RequestId::from_uuid(self.id()?.uuid()));
        }
        if fields.next(self, "\"session\":") {
            correlation.session = Some(self.text()?);
        }
        if fields.next(self, "\"trace\":") {
            correlation.trace = Some(self.text()?);
        }
        fields.end(self, "a field of the correlation")?;
        Ok(correlation)
    }

    fn source(&mut self) -> Result<Source, Error> {
        let mut source = Source::default();
        if !self.takes(",\"source\":{") {
            return Ok(source);
        }
        let mut fields = Fields::default();
        if fields.next(self, "\"ip\":") {
            source.ip = Some(self.named("an IP address", |text| {
                let address: std::net::IpAddr = text.parse().ok()?;
                (address.to_string() == text).then_some(address)
            })?);
        }
        if fields.next(self, "\"user_agent\":") {
            source.user_agent = Some(self.text()?);
        }
        fields.end(self, "a field of the source")?;
        Ok(source)
    }

    fn targets(&mut self) -> Result<Vec<ResourceRef>, Error> {
        let mut targets = Vec::new();
        if !self.takes(",\"targets\":[") {
            return Ok(targets);
        }
        loop {
            targets.push(self.resource()?);
            if self.takes("]") {
                return Ok(targets);
            }
            self.expect(",", "the next target")?;
        }
    }

    fn non_empty_map(&mut self) -> Result<Details, Error> {
        if self.rest.starts_with('}') {
            return self.refuse("a detail");
        }
        self.map(1)
    }

    /// Reads a map after its opening brace.
    fn map(&mut self, depth: usize) -> Result<Details, Error> {
        let mut members: Vec<(Text, Detail)> = Vec::new();
        if self.takes("}") {
            return Ok(Details::default());
        }
        loop {
            let before = self.rest;
            let name = self.text()?;
            if members.last().is_some_and(|(last, _)| name_order(last.as_str(), name.as_str()).is_ge()) {
                self.rest = before;
                return self.refuse("a later name");
            }
            self.expect(":", "a value")?;
            members.push((name, self.value(depth)?));
            if self.takes("}") {
                return Ok(members.into_iter().collect());
            }
            self.expect(",", "the next name")?;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Detail, Error> {
        let nested = self.rest.starts_with(['[', '{']);
        if nested && depth == MAX_DEPTH {
            return self.refuse("no deeper nesting");
        }
        if self.takes("null") {
            Ok(Detail::Null)
        } else if self.takes("true") {
            Ok(Detail::Bool(true))
        } else if self.takes("false") {
            Ok(Detail::Bool(false))
        } else if self.takes("{") {
            self.map(depth + 1).map(Detail::Map)
        } else if self.takes("[") {
            self.list(depth + 1).map(Detail::List)
        } else if self.rest.starts_with('"') {
            self.text().map(Detail::Text)
        } else {
            self.integer().map(Detail::Integer)
        }
    }

    /// Reads a list after its opening bracket.
    fn list(&mut self, depth: usize) -> Result<Vec<Detail>, Error> {
        let mut items = Vec::new();
        if self.takes("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth)?);
            if self.takes("]") {
                return Ok(items);
            }
            self.expect(",", "the next item")?;
        }
    }

    fn integer(&mut self) -> Result<i64, Error> {
        let digits = self.rest.trim_start_matches(|char: char| char == '-' || char.is_ascii_digit());
        let length = self.rest.len() - digits.len();
        let value = self.rest.get(..length).and_then(|text| {
            let value: i64 = text.parse().ok()?;
            (value.to_string() == text && (-MAX_INTEGER..=MAX_INTEGER).contains(&value)).then_some(value)
        });
        match value {
            Some(value) if self.take(length).is_some() => Ok(value),
            _ => self.refuse("a value"),
        }
    }
}

/// The fields of an object none of which need be there, but one.
#[derive(Default)]
struct Fields {
    seen: bool,
}

impl Fields {
    fn next(&mut self, reader: &mut Reader<'_>, name: &str) -> bool {
        let before = reader.rest;
        if (!self.seen || reader.takes(",")) && reader.takes(name) {
            self.seen = true;
            return true;
        }
        reader.rest = before;
        false
    }

    fn end(&self, reader: &mut Reader<'_>, expected: &'static str) -> Result<(), Error> {
        if self.seen && reader.takes("}") { Ok(()) } else { reader.refuse(expected) }
    }
}
