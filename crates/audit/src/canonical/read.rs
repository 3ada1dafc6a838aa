mod tokens;
mod values;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as NoSuchName, StrDeserializer};
use stanchion_core::{
    Actor, AuthenticationMethod, Authorization, Category, Correlation, Details, Event, EventId, FieldChange,
    KeyId, Outcome, ProducerNumber, Recorded, RequestId, ResourceRef, Scope, Severity, Source, SubjectRef,
    Timestamp,
};

use super::{MAX_EVENT_BYTES, SCHEMA, time};
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

impl Reader<'_> {
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
