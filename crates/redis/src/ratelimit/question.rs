use std::time::Duration;

use redis::Cmd;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{
    Adjustment, Call, CallId, Charge, Frame, Kernel, Level, Limit, Mode, Settled, Settlement, Slot,
};

use super::script::Kernels;
use crate::connection::Failure;

/// Below 2^53 doubles are exact.
const EXACT: i64 = 1 << 53;
/// A hundred years are for ever.
const CENTURY: Duration = Duration::from_secs(3_155_760_000);

/// What a script is asked: its keys and arguments. The scripts' own comments say what they mean.
pub(super) struct Question {
    pub(super) kernels: Kernels,
    /// The names of the keys, one after the other.
    names: Vec<u8>,
    /// Where each name ends.
    ends: Vec<usize>,
    /// The first argument.
    numbers: Vec<u8>,
    id: Option<CallId>,
}

/// Whether what is decided is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Charges,
    Nothing,
}

impl Question {
    pub(super) fn decide(prefix: &str, slot: Slot, call: &Call<'_>, take: Take) -> Result<Self, Failure> {
        let hold = call.hold.filter(|hold| take == Take::Charges && !hold.is_zero());
        let lasts = whole(hold.unwrap_or_default().min(CENTURY).as_micros());
        let mut question = Self::begin(call.charges.len(), take == Take::Charges, call.now, lasts)?;
        let family = family(prefix, slot);
        for charge in call.charges {
            question.name(&family, charge.key);
            question.charge(charge)?;
        }
        question.identify(call.id, hold.is_some().then_some((prefix, slot)));
        Ok(question)
    }

    pub(super) fn settle(
        prefix: &str,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<Self, Failure> {
        let charged = exact(call.at)?;
        let mut question = Self::begin(corrections.len(), call.hold, now, charged)?;
        let family = family(prefix, slot);
        for correction in corrections {
            // By nothing, a counter is left as it is.
            if let (flags, units @ 1..) = flags(correction.adjustment) {
                question.name(&family, correction.key);
                question.record(&correction.limit, flags, units, i64::MAX / 2)?;
            }
        }
        question.identify(call.id, call.hold.then_some((prefix, slot)));
        Ok(question)
    }

    /// Tells whether there is nothing to be asked.
    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Writes it as a call of a script, known by its text or digest.
    pub(super) fn command(&self, name: &str, script: &str) -> Cmd {
        const FRAMES: usize = 16;
        let size = script.len() + self.names.len() + self.numbers.len() + FRAMES * (self.ends.len() + 5);
        let mut command = Cmd::with_capacity(self.ends.len() + 5, size);
        command.arg(name).arg(script).arg(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            command.arg(self.names.get(start..*end).unwrap_or_default());
            start = *end;
        }
        command.arg(self.numbers.as_slice());
        if let Some(id) = self.id {
            command.arg(id.number().to_be_bytes().as_slice());
        }
        command
    }

    fn begin(counters: usize, flag: bool, now: Option<Timestamp>, span: i64) -> Result<Self, Failure> {
        let mut numbers = Vec::with_capacity(17 + counters * 50);
        numbers.push(flag.into());
        numbers.extend(now.map_or(Ok(-1), exact)?.to_le_bytes());
        numbers.extend(span.to_le_bytes());
        let (names, ends) = (Vec::with_capacity(counters * 96), Vec::with_capacity(counters + 1));
        Ok(Self { kernels: Kernels::default(), names, ends, numbers, id: None })
    }

    fn name(&mut self, family: &str, key: &[u8]) {
        self.names.extend_from_slice(family.as_bytes());
        self.names.extend_from_slice(key);
        self.ends.push(self.names.len());
    }

    fn identify(&mut self, id: CallId, hold: Option<(&str, Slot)>) {
        if let Some((prefix, slot)) = hold {
            self.name(&format!("{prefix}:hold:{{{slot}}}:{id}"), &[]);
        }
        self.id = (hold.is_some() || self.kernels.has(Kernel::Entries)).then_some(id);
    }

    fn charge(&mut self, charge: &Charge<'_>) -> Result<(), Failure> {
        let flags = u8::from(charge.mode == Mode::Enforce) | u8::from(charge.charge_denied) << 1;
        // What costs more than any capacity costs too much, however much it is.
        self.record(&charge.limit, flags, charge.cost, EXACT)
    }

    fn record(&mut self, limit: &Limit, flags: u8, units: u64, most: i64) -> Result<(), Failure> {
        self.kernels = self.kernels.with(limit.kernel());
        let unit = if limit.kernel() == Kernel::Level { Level::UNIT } else { 1 };
        let (kernel, numbers) = numbers(limit)?;
        self.numbers.extend([kernel, flags]);
        self.numbers.extend(whole(units.saturating_mul(unit).into()).min(most).to_le_bytes());
        self.numbers.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        Ok(())
    }
}

fn flags(adjustment: Adjustment) -> (u8, u64) {
    match adjustment {
        Adjustment::Return(units) => (0, units),
        Adjustment::Add(units) => (1, units),
    }
}

/// What the names of a slot's counters begin with. All keys of a slot have its hash tag.
pub(super) fn family(prefix: &str, slot: Slot) -> String {
    format!("{prefix}:rl:{{{slot}}}:")
}

/// Which part of a script counts by a limit, and the numbers it needs.
fn numbers(limit: &Limit) -> Result<(u8, [i64; 5]), Failure> {
    let capacity = whole(limit.capacity().into());
    match limit {
        Limit::Level(level) => {
            let most =
                capacity.saturating_mul(whole(Level::UNIT.into())).saturating_add(whole(level.late().into()));
            let (ceiling, refill) = (whole(level.ceiling().into()), whole(level.refill().into()));
            Ok((1, [most, ceiling, refill, level.window_seconds().into(), 0]))
        }
        Limit::FixedWindow(window) => windows(2, capacity, window.frame()),
        Limit::SlidingWindow(window) => windows(4, capacity, window.frame()),
        Limit::Entries(entries) => Ok((6, [capacity, whole(entries.lasts().as_micros()), 0, 0, 0])),
        _ => Err(Failure::Unsupported("an algorithm that this adapter does not know")),
    }
}

fn windows(kernel: u8, capacity: i64, frame: Frame) -> Result<(u8, [i64; 5]), Failure> {
    const TOO_LONG: Failure = Failure::Unsupported("a window that is too long to be counted exactly");
    match frame {
        Frame::Every(length) => match whole(length.get().into()) {
            length if length <= EXACT / 4 => Ok((kernel, [capacity, length, 0, 0, 0])),
            _ => Err(TOO_LONG),
        },
        Frame::Calendar(edges) => {
            let [a, b, c, d] = edges.instants().map(Timestamp::micros);
            // A script takes the window that follows the last to be at most twice as long.
            let is_exact = a > -EXACT && d.saturating_add(d.saturating_sub(c).saturating_mul(2)) < EXACT;
            if is_exact { Ok((kernel + 1, [capacity, a, b, c, d])) } else { Err(TOO_LONG) }
        }
    }
}

/// Refuses a time that a script could not count with.
fn exact(at: Timestamp) -> Result<i64, Failure> {
    if (0..EXACT / 2).contains(&at.micros()) {
        Ok(at.micros())
    } else {
        Err(Failure::Unsupported("a time before 1970 or after 2112"))
    }
}

fn whole(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
