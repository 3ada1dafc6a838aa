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

/// What a script is asked. The scripts' own comments say how it is written.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    slot: Slot,
    now: Option<Timestamp>,
    id: CallId,
    /// Whether charges are taken; whether what is settled has a hold.
    flag: bool,
    /// How long to hold the call; when it was decided.
    span: Span,
    /// Whether the last key is a hold.
    has_hold: bool,
    // One of these is empty.
    charges: &'a [Charge<'a>],
    corrections: &'a [Settlement<'a>],
}

#[derive(Clone, Copy)]
enum Span {
    Lasts(Duration),
    Since(Timestamp),
}

/// Whether what is decided is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Charges,
    Nothing,
}

/// What is asked of one counter.
struct Counter<'a> {
    key: &'a [u8],
    limit: &'a Limit,
    flags: u8,
    units: u64,
    most: i64,
}

impl<'a> Question<'a> {
    pub(super) fn decide(slot: Slot, call: &Call<'a>, take: Take) -> Self {
        let hold = call.hold.filter(|hold| take == Take::Charges && !hold.is_zero());
        Self {
            slot,
            now: call.now,
            id: call.id,
            flag: take == Take::Charges,
            span: Span::Lasts(hold.unwrap_or_default().min(CENTURY)),
            has_hold: hold.is_some(),
            charges: call.charges,
            corrections: &[],
        }
    }

    pub(super) const fn settle(
        slot: Slot,
        call: Settled,
        corrections: &'a [Settlement<'a>],
        now: Option<Timestamp>,
    ) -> Self {
        Self {
            slot,
            now,
            id: call.id,
            flag: call.hold,
            span: Span::Since(call.at),
            has_hold: call.hold,
            charges: &[],
            corrections,
        }
    }

    /// Tells whether there is nothing to be asked.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_hold && self.counters().next().is_none()
    }

    /// Tells which kernels it is about.
    pub(super) fn kernels(&self) -> Kernels {
        let all = self.counters().map(|counter| counter.limit.kernel());
        all.fold(Kernels::default(), Kernels::with)
    }

    /// Writes it as a call of a script, which is known by its text or its digest.
    pub(super) fn command(&self, name: &str, script: &str, prefix: &str) -> Result<Cmd, Failure> {
        let counters = self.counters().count();
        let mut numbers = Vec::with_capacity(17 + counters * 50);
        numbers.push(self.flag.into());
        numbers.extend(self.now.map_or(Ok(-1), exact)?.to_le_bytes());
        numbers.extend(self.span.micros()?.to_le_bytes());

        let mut command = Cmd::with_capacity(counters + 6, script.len() + 160 + counters * 160);
        command.arg(name).arg(script).arg(counters + usize::from(self.has_hold));
        let mut key = family(prefix, self.slot).into_bytes();
        let family = key.len();
        for counter in self.counters() {
            key.truncate(family);
            key.extend_from_slice(counter.key);
            command.arg(key.as_slice());
            counter.write(&mut numbers)?;
        }
        if self.has_hold {
            command.arg(format!("{prefix}:hold:{{{}}}:{}", self.slot, self.id));
        }
        command.arg(numbers);
        if self.has_hold || self.kernels().has(Kernel::Entries) {
            command.arg(self.id.number().to_be_bytes().as_slice());
        }
        Ok(command)
    }

    fn counters(&self) -> impl Iterator<Item = Counter<'a>> + use<'a> {
        self.charges.iter().map(Counter::charge).chain(self.corrections.iter().filter_map(Counter::correct))
    }
}

impl<'a> Counter<'a> {
    fn charge(charge: &'a Charge<'a>) -> Self {
        let flags = u8::from(charge.mode == Mode::Enforce) | u8::from(charge.charge_denied) << 1;
        // What costs more than any capacity costs too much, however much it is.
        Self { key: charge.key, limit: &charge.limit, flags, units: charge.cost, most: EXACT }
    }

    /// `None` for a correction by nothing, which leaves a counter as it is.
    fn correct(correction: &'a Settlement<'a>) -> Option<Self> {
        let (flags, units) = match correction.adjustment {
            Adjustment::Return(units) => (0, units),
            Adjustment::Add(units) => (1, units),
        };
        let Settlement { key, limit, .. } = correction;
        (units > 0).then_some(Self { key, limit, flags, units, most: i64::MAX / 2 })
    }

    fn write(&self, numbers: &mut Vec<u8>) -> Result<(), Failure> {
        let unit = if self.limit.kernel() == Kernel::Level { Level::UNIT } else { 1 };
        let (kernel, of_limit) = numbers_of(self.limit)?;
        numbers.extend([kernel, self.flags]);
        numbers.extend(whole(self.units.saturating_mul(unit).into()).min(self.most).to_le_bytes());
        for number in of_limit {
            numbers.extend(number.to_le_bytes());
        }
        Ok(())
    }
}

impl Span {
    fn micros(self) -> Result<i64, Failure> {
        match self {
            Self::Lasts(lasts) => Ok(whole(lasts.as_micros())),
            Self::Since(at) => exact(at),
        }
    }
}

/// What the names of a slot's counters begin with. All keys of a slot have its hash tag.
pub(super) fn family(prefix: &str, slot: Slot) -> String {
    format!("{prefix}:rl:{{{slot}}}:")
}

/// Which part of a script counts by a limit, and the numbers it needs.
fn numbers_of(limit: &Limit) -> Result<(u8, [i64; 5]), Failure> {
    let capacity = whole(limit.capacity().into());
    match limit {
        Limit::Level(level) => {
            let full = capacity.saturating_mul(whole(Level::UNIT.into()));
            let most = full.saturating_add(whole(level.late().into()));
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
            let last = d.saturating_add(d.saturating_sub(c).saturating_mul(2));
            let is_exact = a > -EXACT && last < EXACT;
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
