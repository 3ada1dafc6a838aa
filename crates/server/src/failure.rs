use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not do what it was asked to, as the shell and the person at it are told.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    line: String,
    causes: Vec<String>,
}

/// What the shell is told of a command that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The answer is no: refused, broken, not as promised. Also what failed while it ran.
    No,
    /// What was given is wrong: arguments, configuration, a request that the server calls invalid.
    Input,
    /// A backend, or the server that was to be asked, cannot be reached.
    Unreachable,
    /// A proof cannot be checked: none of the keys that were given signed it.
    Unverifiable,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::No => 1,
            Self::Input => 2,
            Self::Unreachable | Self::Unverifiable => 3,
        }
    }
}

impl Failure {
    /// States a failure in one line.
    #[must_use]
    pub fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, line: line.into(), causes: Vec::new() }
    }

    /// States a failure that was told already, as the answer of a command: only the shell has to hear of it.
    #[must_use]
    pub fn told(exit: Exit) -> Self {
        Self::new(exit, String::new())
    }

    /// Adds an error and everything that caused it, each on a line of its own.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let line = error.to_string();
            if self.causes.last() != Some(&line) {
                self.causes.push(line);
            }
            next = error.source();
        }
        self
    }

    /// Adds lines that say more.
    #[must_use]
    pub fn with_lines(mut self, lines: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        self.causes.extend(lines.into_iter().map(|line| line.to_string()));
        self
    }

    /// Writes the failure: one line first, what it came from below.
    ///
    /// # Errors
    /// When `to` cannot be written to.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        writeln!(to, "stanchion: {}", self.line)?;
        self.causes.iter().try_for_each(|cause| writeln!(to, "  {cause}"))
    }

    /// Returns what kind of failure it is.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns what the shell is told.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot listen")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn one_line_comes_first_and_every_cause_below() {
        let failure = Failure::new(Exit::Input, "the gateway cannot start")
            .because(&Outer(io::Error::other("address in use")))
            .with_lines(["choose another with --port"]);
        let mut written = Vec::new();
        failure.write(&mut written).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "stanchion: the gateway cannot start\n  cannot listen\n  address in use\n  choose another with --port\n"
        );
    }
}
