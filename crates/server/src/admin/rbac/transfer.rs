//! All records of access control, to a file and from one.

mod pieces;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use self::pieces::{Cutter, Pieces};
use super::access_path;
use crate::admin::args::{Output, Scoped};
use crate::admin::export::{Progress, create, partial, unwritable};
use crate::admin::plan::{Plan, Request};
use crate::admin::view::View;
use crate::admin::{Connection, refused};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::http_client::Ask;
use crate::json::{at, list, text};
use crate::terminal::cut;

/// How much of a file is sent at a time, cut at a line's end.
const PIECE: usize = 512 * 1024;
/// How much the server takes at a time: what is only tried has to be sent whole, since nothing of it stays for what follows.
const WHOLE: usize = 16 * 1024 * 1024;

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordFormat {
    /// Records of every kind, a line each
    #[default]
    Jsonl,
    /// Assignments alone, for spreadsheets
    Csv,
}

impl RecordFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl",
            Self::Csv => "text/csv",
        }
    }

    /// The format that is asked for, or that the name of a file ends with.
    fn of(asked: Option<Self>, file: &Path) -> Self {
        let is_csv = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        asked.unwrap_or(if is_csv { Self::Csv } else { Self::Jsonl })
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Export {
    /// The file; it is there once it is whole
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How records are written [default: csv for a file that ends so, else jsonl]
    #[arg(long, value_enum)]
    format: Option<RecordFormat>,
    /// Only records of this kind: role, separation, membership, assignment, grant, denial or session; may be repeated
    #[arg(long)]
    kind: Vec<String>,
    #[command(flatten)]
    scoped: Scoped,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Import {
    /// The file, as `access export` writes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How records are written [default: csv for a file that ends so, else jsonl]
    #[arg(long, value_enum)]
    format: Option<RecordFormat>,
    /// Only look at every row, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// End at the first row that cannot be written; without it such rows are left out and told of
    #[arg(long)]
    stop: bool,
    #[command(flatten)]
    scoped: Scoped,
}

impl From<Export> for Plan {
    fn from(asked: Export) -> Self {
        let format = RecordFormat::of(asked.format, &asked.file);
        let kinds = (!asked.kind.is_empty()).then(|| asked.kind.join(","));
        Request::get(access_path("export"))
            .asking("format", Some(format.name().to_owned()))
            .asking("kinds", kinds)
            .shown(asked.scoped, View::Fields)
    }
}

impl From<Import> for Plan {
    fn from(asked: Import) -> Self {
        let said = |is_said: bool, name: &str| is_said.then(|| name.to_owned());
        Request::new(Method::POST, access_path("import"))
            .asking("mode", said(asked.dry_run, "dry_run"))
            .asking("bad_rows", said(asked.stop, "stop"))
            .shown(asked.scoped, View::Fields)
    }
}

/// Writes the records of a scope to a file.
pub(crate) async fn export(asked: Export, environment: &Environment) -> Result<(), Failure> {
    let (out, format) = (asked.file.clone(), RecordFormat::of(asked.format, &asked.file));
    let plan = Plan::from(asked);
    let connection = Connection::new(&plan, environment)?;
    let tenant = tenant(&connection, &plan).await?;
    let mut download = connection.open(&plan.request, tenant.as_deref()).await?;
    let failed = |error: io::Error| unwritable(&out, &error);
    let partial = partial(&out);
    let mut cutter = Cutter::new(format);
    let written = async {
        let mut file = BufWriter::new(create(&partial).map_err(failed)?);
        let progress = Progress::default();
        let lost = |error| Failure::new(Exit::Unreachable, "the export broke off").because(&error);
        while let Some(part) = download.next().await.map_err(lost)? {
            cutter.count(&part);
            file.write_all(&part).map_err(failed)?;
            progress.show(cutter.rows());
        }
        progress.end();
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&partial, &out).map_err(failed)
    };
    written.await.inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
    say(&format!("{}: {} records\n", out.display(), cutter.rows()))
}

/// Sends a file of records, piece by piece.
pub(crate) async fn import(asked: Import, environment: &Environment) -> Result<(), Failure> {
    let (path, format, dry_run) =
        (asked.file.clone(), RecordFormat::of(asked.format, &asked.file), asked.dry_run);
    let plan = Plan::from(asked);
    let unreadable = |error: &io::Error| {
        Failure::new(Exit::Input, format!("cannot read `{}`", path.display())).because(error)
    };
    let file = File::open(&path).map_err(|error| unreadable(&error))?;
    let size = if dry_run { WHOLE } else { PIECE };
    let mut pieces = Pieces::new(BufReader::new(file), format, size, WHOLE);
    let connection = Connection::new(&plan, environment)?;
    let tenant = tenant(&connection, &plan).await?;
    let uri = connection.uri(&plan.request, tenant.as_deref())?;
    let (mut report, progress) = (Report::default(), Progress::default());
    let mut sent = 0;
    while let Some(piece) = pieces.next().map_err(|error| unreadable(&error))? {
        sent += 1;
        if dry_run && sent > 1 {
            let why = "what is only tried is sent whole, and the server takes 16 MiB";
            return Err(Failure::new(Exit::Input, "the file is too large for --dry-run").with_lines([why]));
        }
        let mut ask = Ask::new(Method::POST, uri.clone());
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        ask.body = piece.content;
        let answer = connection.ask(ask).await?;
        if !answer.status.is_success() {
            progress.end();
            let done = format!(
                "{} rows before line {} are done; the same command goes on",
                report.rows, piece.first
            );
            return Err(refused(&answer).with_lines([done]));
        }
        report.add(&answer.json(), piece.shift);
        progress.show(report.rows);
        if report.stopped {
            break;
        }
    }
    progress.end();
    say(&match plan.session.output {
        Output::Json => format!("{:#}\n", report.json()),
        Output::Table => report.text(dry_run),
    })?;
    if report.refused == 0 { Ok(()) } else { Err(Failure::told(Exit::No)) }
}

async fn tenant(connection: &Connection, plan: &Plan) -> Result<Option<String>, Failure> {
    match &plan.tenant {
        Some(named) => connection.tenant(named).await.map(Some),
        None => Ok(None),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::No, "cannot write the answer").because(&error))
        }
        _ => Ok(()),
    }
}

/// What became of all pieces.
#[derive(Debug, Default)]
struct Report {
    rows: u64,
    written: u64,
    unchanged: u64,
    expired: u64,
    refused: u64,
    stopped: bool,
    bad: Vec<(u64, Option<String>, String)>,
}

impl Report {
    /// Adds what became of a piece, whose lines are by so much further down in the file.
    fn add(&mut self, answer: &Value, shift: u64) {
        let number = |value: &Value| {
            value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
        };
        let count = |pointer| number(at(answer, pointer));
        self.rows += count("/rows");
        self.written += count("/written");
        self.unchanged += count("/unchanged");
        self.expired += count("/expired");
        self.refused += count("/refused");
        self.stopped |= at(answer, "/stopped").as_bool().unwrap_or(false);
        for bad in list(answer, "/bad") {
            let field = at(bad, "/field").as_str().map(str::to_owned);
            self.bad.push((
                number(at(bad, "/line")).saturating_add(shift),
                field,
                text(bad, "/why").to_owned(),
            ));
        }
    }

    fn json(&self) -> Value {
        let bad: Vec<Value> = self
            .bad
            .iter()
            .map(|(line, field, why)| json!({ "line": line, "field": field, "why": why }))
            .collect();
        json!({
            "rows": self.rows, "written": self.written, "unchanged": self.unchanged, "expired": self.expired,
            "refused": self.refused, "stopped": self.stopped, "bad": bad,
        })
    }

    fn text(&self, dry_run: bool) -> String {
        let written = if dry_run { "would be written" } else { "written" };
        let mut text = String::new();
        for (line, field, why) in &self.bad {
            let field = field.as_ref().map(|field| format!(", {field}")).unwrap_or_default();
            text.push_str(&format!("line {line}{}: {}\n", cut(&field, 60), cut(why, 400)));
        }
        let end = if self.stopped { "; it ended there" } else { "" };
        let Self { rows, written: count, unchanged, expired, refused, .. } = self;
        let expired =
            if *expired == 0 { String::new() } else { format!("{expired} passed over as expired, ") };
        text.push_str(&format!(
            "{rows} rows: {count} {written}, {unchanged} as they are already, {expired}{refused} refused{end}\n"
        ));
        text
    }
}

#[cfg(test)]
mod tests;
