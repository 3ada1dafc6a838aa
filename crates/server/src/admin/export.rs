//! Writes an export of the audit ledger to a file.

mod csv;
mod job;
mod tiles;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stanchion_audit::bundle::{Form, Line};

use crate::admin::what::ExportFormat;
use crate::admin::{Connection, Plan};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::http_client::Download;

/// How an export comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// As it is made.
    Stream,
    /// From a file that the server makes first.
    Job,
}

/// Exports what the plan asks for. The file is there once it is whole, not before.
pub(crate) async fn run(
    plan: Plan,
    format: ExportFormat,
    by: By,
    out: &Path,
    environment: &Environment,
) -> Result<(), Failure> {
    let connection = Connection::new(&plan, environment)?;
    let tenant = match &plan.tenant {
        Some(named) => Some(connection.tenant(named).await?),
        None => None,
    };
    let entries = if format == ExportFormat::Tiles {
        tiles::fetch(&connection, &plan, tenant.as_deref(), out).await?
    } else {
        let made = match by {
            By::Stream => None,
            By::Job => Some(job::Made::by(&connection, &plan, tenant.as_deref()).await?),
        };
        let download = match &made {
            None => connection.open(&plan.request, tenant.as_deref()).await?,
            Some(made) => made.open(&connection, tenant.as_deref()).await?,
        };
        let partial = partial(out);
        let written = write(download, format, &partial).await;
        let renamed = written.and_then(|entries| {
            std::fs::rename(&partial, out).map_err(|error| unwritable(out, &error))?;
            Ok(entries)
        });
        let entries = renamed.inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
        if let Some(made) = made {
            made.remove(&connection, tenant.as_deref()).await?;
        }
        entries
    };
    let how = match format {
        ExportFormat::Jsonl | ExportFormat::Ocsf | ExportFormat::Tiles => {
            "verify them with `stanchion audit verify`"
        }
        ExportFormat::Csv => "for people: CSV proves nothing, jsonl does",
    };
    match writeln!(io::stdout(), "{}: {entries} entries; {how}", out.display()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::No, "cannot write the answer").because(&error))
        }
        _ => Ok(()),
    }
}

/// Writes what comes, line by line. Returns how many entries there were.
async fn write(mut download: Download, format: ExportFormat, path: &Path) -> Result<u64, Failure> {
    let broken = |line: &str| Failure::new(Exit::Unreachable, "the export broke off").with_lines([line]);
    let failed = |error: io::Error| unwritable(path, &error);
    let form = if format == ExportFormat::Ocsf { Form::Ocsf } else { Form::Lines };
    let mut file = BufWriter::new(create(path).map_err(failed)?);
    if format == ExportFormat::Csv {
        csv::head(&mut file).map_err(failed)?;
    }
    let (mut entries, mut is_ended, mut pending) = (0_u64, false, Vec::new());
    let progress = Progress::default();
    while let Some(part) =
        download.next().await.map_err(|error| broken("the server was lost").because(&error))?
    {
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(piece);
            if pending.len() > form.max_line() {
                return Err(broken("a line is too long"));
            }
            let Some(line) = pending.strip_suffix(b"\n") else { continue };
            let read = form.read(line);
            let read = read.ok_or_else(|| broken(&format!("a line is none of {}", form.name())))?;
            is_ended = matches!(read, Line::End(_));
            if let Line::Entry(entry) = &read {
                entries = entries.saturating_add(1);
                if format == ExportFormat::Csv {
                    csv::row(&mut file, entry).map_err(failed)?;
                }
            }
            if format != ExportFormat::Csv {
                file.write_all(&pending).map_err(failed)?;
            }
            pending.clear();
        }
        progress.show(entries);
    }
    progress.end();
    if !is_ended || !pending.is_empty() {
        return Err(broken("it has no end"));
    }
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(entries)
}

/// Where the file is until it is whole.
pub(in crate::admin) fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

pub(in crate::admin) fn create(path: &Path) -> io::Result<File> {
    // An older file may be readable by others, and would stay so.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

pub(in crate::admin) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::No, format!("cannot write `{}`", path.display())).because(error)
}

/// Tells a person how far it is; nobody else.
pub(in crate::admin) struct Progress {
    is_seen: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { is_seen: io::stderr().is_terminal() }
    }
}

impl Progress {
    pub(in crate::admin) fn show(&self, entries: u64) {
        if self.is_seen {
            let _ = write!(io::stderr(), "\r{entries} entries");
        }
    }

    pub(in crate::admin) fn end(&self) {
        if self.is_seen {
            let _ = writeln!(io::stderr());
        }
    }
}
