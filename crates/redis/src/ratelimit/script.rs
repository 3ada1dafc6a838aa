use std::sync::LazyLock;

use stanchion_ratelimit::Kernel;

/// A script, and the digest that servers know it by.
pub(super) struct Script {
    pub(super) text: String,
    pub(super) digest: String,
}

/// The scripts of one verb: one for each set of kernels. A script makes its functions anew for each call, so it has only those that its
/// call needs: with all of them a decision by one rule costs the server an eighth more.
pub(super) struct Scripts([Script; Kernels::SETS]);

/// A set of kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kernels(u8);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Decide,
    Settle,
}

impl Kernels {
    const SETS: usize = 16;

    pub(super) const fn with(self, kernel: Kernel) -> Self {
        Self(self.0 | Self::of(kernel))
    }

    pub(super) const fn has(self, kernel: Kernel) -> bool {
        self.0 & Self::of(kernel) != 0
    }

    const fn of(kernel: Kernel) -> u8 {
        match kernel {
            Kernel::Level => 1,
            Kernel::FixedWindow => 2,
            Kernel::SlidingWindow => 4,
            Kernel::Entries => 8,
            _ => 0,
        }
    }
}

impl Scripts {
    pub(super) fn decide() -> &'static Self {
        static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts::of_verb(Verb::Decide));
        &SCRIPTS
    }

    pub(super) fn settle() -> &'static Self {
        static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts::of_verb(Verb::Settle));
        &SCRIPTS
    }

    #[expect(clippy::indexing_slicing, reason = "a set is less than the number of sets")]
    pub(super) const fn of(&self, kernels: Kernels) -> &Script {
        &self.0[kernels.0 as usize % Kernels::SETS]
    }

    fn of_verb(verb: Verb) -> Self {
        let mut sets = 0..;
        Self(std::array::from_fn(|_| Script::of(verb, Kernels(sets.next().unwrap_or(0)))))
    }
}

impl Script {
    fn of(verb: Verb, kernels: Kernels) -> Self {
        let has = |kernel| kernels.has(kernel);
        let parts = [
            (true, include_str!("call.lua")),
            (has(Kernel::Level), include_str!("level.lua")),
            (has(Kernel::FixedWindow) || has(Kernel::SlidingWindow), include_str!("window.lua")),
            (has(Kernel::FixedWindow), include_str!("fixed_window.lua")),
            (has(Kernel::SlidingWindow), include_str!("sliding_window.lua")),
            (has(Kernel::Entries), include_str!("entries.lua")),
            (verb == Verb::Settle && has(Kernel::Entries), include_str!("settle_entry.lua")),
            (verb == Verb::Settle, include_str!("settle.lua")),
            (verb == Verb::Decide, include_str!("decide.lua")),
        ];
        let text: Vec<&str> = parts.iter().filter(|(is_in, _)| *is_in).map(|(_, part)| *part).collect();
        let text = text.join("\n");
        let mut digest = sha1_smol::Sha1::new();
        digest.update(text.as_bytes());
        Self { digest: digest.digest().to_string(), text }
    }
}
