use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use stanchion_core::Text;

/// Tells whether this process should be sent requests. Clones share it.
///
/// It begins as starting; the owner says when it serves and when it drains. While it serves, every part must be ready too.
#[derive(Clone)]
pub struct Readiness {
    phase: Arc<AtomicU8>,
    parts: Arc<[Part]>,
}

/// Something without which the process cannot serve.
pub struct Part {
    name: Text,
    probe: Box<dyn Fn() -> Result<(), Text> + Send + Sync>,
}

/// Where a process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does not serve yet.
    Starting,
    /// It serves.
    Serving,
    /// It ends what it has begun and takes nothing new.
    Draining,
}

impl Phase {
    /// Returns the name that answers use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

impl Part {
    /// Names a part. The probe is asked with each look at the readiness and must not wait; what it says of a part that is not ready is
    /// shown to everybody who reaches the admin listener.
    pub fn new(name: impl Into<Text>, probe: impl Fn() -> Result<(), Text> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), probe: Box::new(probe) }
    }

    pub(crate) const fn name(&self) -> &Text {
        &self.name
    }

    pub(crate) fn probe(&self) -> Result<(), Text> {
        (self.probe)()
    }
}

impl Readiness {
    /// Begins as starting, with the parts that must be ready.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let phase = Arc::new(AtomicU8::new(Phase::Starting as u8));
        Self { phase, parts: parts.into_iter().collect() }
    }

    /// Says that the process serves now. A process that drains does not serve again.
    pub fn serve(&self) {
        let (starting, serving) = (Phase::Starting as u8, Phase::Serving as u8);
        // Anything but starting stays what it is.
        let _ = self.phase.compare_exchange(starting, serving, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Says that the process takes nothing new from now on.
    pub fn drain(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::SeqCst);
    }

    /// Returns where the process stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::SeqCst);
        let phases = [Phase::Starting, Phase::Serving, Phase::Draining];
        phases.into_iter().find(|known| *known as u8 == phase).unwrap_or(Phase::Starting)
    }

    /// Tells whether the process serves and every part is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving && self.parts.iter().all(|part| part.probe().is_ok())
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        f.debug_struct("Readiness").field("phase", &self.phase()).field("parts", &parts).finish()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drains_does_not_serve_again() {
        let readiness = Readiness::new([]);
        assert!(!readiness.is_ready());
        readiness.serve();
        assert!(readiness.is_ready());
        readiness.drain();
        readiness.serve();
        assert_eq!(readiness.phase(), Phase::Draining);
    }

    #[test]
    fn a_part_that_is_not_ready_keeps_all_from_being_so() {
        let readiness = Readiness::new([Part::new("a", || Ok(())), Part::new("b", || Err("stale".into()))]);
        readiness.serve();
        assert!(!readiness.is_ready());
    }
}
