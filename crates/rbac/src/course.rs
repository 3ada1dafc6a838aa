use stanchion_core::Timestamp;

use crate::holdings::Span;

/// What may settle an answer at some time. What comes first here prevails over what comes later, as long as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearing {
    Denied,
    /// A denial stands that may be about the resource, and what is not known of that can be loaded.
    PerhapsDenied,
    Granted,
    /// A time window has opened or closed since, so that it is not known what comes of it.
    Open,
    NotYetValid,
    Expired,
    RoleInactive,
    RoleNotInSession,
    ConstraintUnmet,
}

/// How many kinds of bearings there are.
const KINDS: usize = 9;

/// What bears on an answer from now on: when time alone turns it.
///
/// What never begins or ends and prevails over nothing here is not told to it: it can neither bring about a change nor hide one.
#[derive(Debug)]
pub(crate) struct Course {
    now: Timestamp,
    standing: [u32; KINDS],
    turns: Vec<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Timestamp,
    bearing: Bearing,
    begins: bool,
}

impl Course {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { now, standing: [0; KINDS], turns: Vec::new() }
    }

    pub(crate) fn add(&mut self, bearing: Bearing, from: Timestamp, until: Timestamp) {
        if until <= self.now || until <= from {
            return;
        }
        if from > self.now {
            self.turns.push(Turn { at: from, bearing, begins: true });
        } else {
            self.begin(bearing);
        }
        if until < Timestamp::MAX {
            self.turns.push(Turn { at: until, bearing, begins: false });
        }
    }

    /// Adds what bears on it as long as something counts.
    pub(crate) fn add_during(&mut self, bearing: Bearing, span: Span) {
        self.add(bearing, span.from, span.until);
    }

    /// Tells whether there is such a thing now.
    pub(crate) fn stands(&self, bearing: Bearing) -> bool {
        self.standing.get(bearing as usize).is_some_and(|count| *count > 0)
    }

    /// Returns the first instant after now at which another thing prevails, or at which it is not known what does;
    /// [`Timestamp::MAX`] for never.
    pub(crate) fn turns_at(mut self) -> Timestamp {
        let prevails = self.prevailing();
        self.turns.sort_unstable_by_key(|turn| turn.at);
        let turns = std::mem::take(&mut self.turns);
        for at_once in turns.chunk_by(|one, other| one.at == other.at) {
            for turn in at_once {
                if turn.begins { self.begin(turn.bearing) } else { self.end(turn.bearing) }
            }
            if self.prevailing() != prevails
                && let Some(turn) = at_once.first()
            {
                return turn.at;
            }
        }
        Timestamp::MAX
    }

    fn prevailing(&self) -> Option<usize> {
        self.standing.iter().position(|count| *count > 0)
    }

    fn begin(&mut self, bearing: Bearing) {
        if let Some(count) = self.standing.get_mut(bearing as usize) {
            *count += 1;
        }
    }

    fn end(&mut self, bearing: Bearing) {
        if let Some(count) = self.standing.get_mut(bearing as usize) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns_at(all: &[(Bearing, i64, i64)]) -> Option<i64> {
        let mut course = Course::new(Timestamp::from_micros(0));
        for (bearing, from, until) in all {
            let until = if *until == 0 { Timestamp::MAX } else { Timestamp::from_micros(*until) };
            course.add(*bearing, Timestamp::from_micros(*from), until);
        }
        let at = course.turns_at();
        (at < Timestamp::MAX).then(|| at.micros())
    }

    #[test]
    fn it_turns_where_another_thing_prevails() {
        use Bearing::{Denied, Expired, Granted, NotYetValid, Open, PerhapsDenied};
        for (all, expected) in [
            (&[][..], None),
            (&[(Granted, -5, 0)], None),
            (&[(Granted, -5, 10)], Some(10)),
            (&[(Granted, 5, 10)], Some(5)),
            (&[(Granted, -5, -1), (Granted, 9, 9)], None),
            (&[(Granted, -5, 10), (Granted, 10, 20), (Granted, 15, 0)], None),
            (&[(Granted, -5, 10), (Granted, 11, 0)], Some(10)),
            (&[(Granted, -5, 10), (Denied, 7, 8)], Some(7)),
            (&[(Denied, -5, 10), (Granted, -5, 20), (Denied, 10, 15)], Some(15)),
            (&[(NotYetValid, -5, 10), (NotYetValid, -5, 20), (Granted, 20, 0)], Some(20)),
            (&[(NotYetValid, -5, 0), (Expired, 5, 0)], None),
            (&[(Expired, -5, 0), (NotYetValid, 5, 0)], Some(5)),
            (&[(Granted, -5, 10), (Open, 5, 0)], Some(10)),
            (&[(Granted, -5, 0), (Open, 5, 0)], None),
            (&[(Expired, -5, 0), (Open, 5, 0)], Some(5)),
            (&[(Granted, -5, 0), (PerhapsDenied, 5, 0)], Some(5)),
        ] {
            assert_eq!(turns_at(all), expected, "{all:?}");
        }
    }
}
