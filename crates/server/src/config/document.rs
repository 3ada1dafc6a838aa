use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::config::{Place, Problem};
use crate::environment::Environment;

/// What a variable that overrides a setting begins with: `STANCHION__GATEWAY__LISTEN` overrides `gateway.listen`.
const OVERRIDE: &str = "STANCHION__";

/// A configuration as it was written: the file, what the environment overrides in it, and where each part stands.
#[derive(Clone, Debug)]
pub(crate) struct Document<'a> {
    root: Spanned<DeTable<'a>>,
    sources: Sources,
}

/// What the spans of a document point into: the file, and behind its end the values of variables, each with a stretch of its own.
#[derive(Clone, Debug)]
struct Sources {
    path: PathBuf,
    lines: Vec<usize>,
    variables: Vec<(Range<usize>, String)>,
}

/// Where the key of a value stands, if it has one, and the value.
type Found<'d, 'a> = (Option<Range<usize>>, &'d Spanned<DeValue<'a>>);

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into an item of a list, from 0.
    Item(usize),
}

impl<'a> Document<'a> {
    /// Reads a file's text and lays the environment's overrides over it.
    pub(crate) fn parse(
        path: &Path,
        text: &'a str,
        environment: &'a Environment,
    ) -> Result<Self, Vec<Problem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { root, sources: Sources::new(path, text) };
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| document.problem(error.span(), format!("this is not TOML: {}", error.message())))
            .collect();
        problems.extend(document.overlay(text.len(), environment));
        problems.dedup();
        if problems.is_empty() { Ok(document) } else { Err(problems) }
    }

    pub(crate) const fn root(&self) -> &Spanned<DeTable<'a>> {
        &self.root
    }

    /// States a problem at what a span covers.
    pub(crate) fn problem(&self, span: Option<Range<usize>>, message: impl Into<String>) -> Problem {
        Problem { place: self.sources.place(span), message: message.into() }
    }

    /// States a problem at the deepest part of a path that is written down.
    pub(crate) fn problem_at(&self, path: &[Step], message: impl Into<String>) -> Problem {
        self.problem(self.span_of(path), message)
    }

    /// Finds the part that a span covers: the deepest one whose key or value holds the span's beginning; with a key, the deepest of
    /// those that end in it.
    pub(crate) fn covering(&self, span: &Range<usize>, key: Option<&str>) -> Option<Vec<Step>> {
        // Nothing stands in an empty span; what is missing from the whole has one.
        if span.is_empty() {
            return None;
        }
        let mut search = Search { at: span.start, key, path: Vec::new(), found: None };
        search.table(self.root.get_ref());
        search.found
    }

    /// Tells whether a path is written down.
    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        self.find(path).1 == path.len()
    }

    /// Takes a part out, so that the rest can be read.
    pub(crate) fn remove(&mut self, path: &[Step]) {
        if let Some((Step::Key(key), rest)) = path.split_first() {
            remove_key(self.root.get_mut(), key, rest);
        }
    }

    /// Returns where a reader says that something is missing from a table.
    pub(crate) fn header(&self, table: &[Step]) -> Option<Range<usize>> {
        if table.is_empty() {
            Some(self.root.span())
        } else {
            self.find(table).0.map(|(_, value)| value.span())
        }
    }

    /// Returns where to point: at the header of a table, at the value of a variable, else at the key.
    fn span_of(&self, path: &[Step]) -> Option<Range<usize>> {
        let (key, value) = self.find(path).0?;
        let composed = value.get_ref().is_table() || value.get_ref().is_array();
        let from_variable = self.sources.variable(value.span().start).is_some();
        Some(key.filter(|_| !composed && !from_variable).unwrap_or_else(|| value.span()))
    }

    /// Goes down a path as far as it is written: what stands there, under which key, and after how many steps.
    fn find(&self, path: &[Step]) -> (Option<Found<'_, 'a>>, usize) {
        let mut found: Option<Found<'_, 'a>> = None;
        for (depth, step) in path.iter().enumerate() {
            let value = found.as_ref().map(|(_, value)| value.get_ref());
            let next = match step {
                Step::Key(key) => value
                    .map_or(Some(self.root.get_ref()), DeValue::as_table)
                    .and_then(|table| table.get_key_value(key.as_str()))
                    .map(|(key, value)| (Some(key.span()), value)),
                Step::Item(index) => value
                    .and_then(DeValue::as_array)
                    .and_then(|array| array.get(*index))
                    .map(|item| (None, item)),
            };
            if next.is_none() {
                return (found, depth);
            }
            found = next;
        }
        (found, path.len())
    }

    fn overlay(&mut self, end: usize, environment: &'a Environment) -> Vec<Problem> {
        // One byte apart, so that no place belongs to two sources.
        let mut base = end.saturating_add(1);
        let mut problems = Vec::new();
        for (name, text) in environment.beginning_with(OVERRIDE) {
            let span = base..base.saturating_add(text.len().max(1));
            base = span.end.saturating_add(1);
            self.sources.variables.push((span.clone(), name.to_owned()));
            let value = match DeValue::parse(text) {
                Ok(value) => shifted(value, span.start),
                // What is no TOML value is a text: nobody quotes twice for a shell.
                Err(_) => Spanned::new(span.clone(), DeValue::String(text.into())),
            };
            let keys = name.trim_start_matches(OVERRIDE).split("__");
            let keys: Vec<String> = keys.map(str::to_ascii_lowercase).collect();
            if let Err(message) = put(self.root.get_mut(), &keys, &span, value) {
                problems.push(self.problem(Some(span), message));
            }
        }
        problems
    }
}

impl Sources {
    fn new(path: &Path, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            path: path.to_owned(),
            lines: std::iter::once(0).chain(starts).collect(),
            variables: Vec::new(),
        }
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        let Some(span) = span else { return Place::File(self.path.clone()) };
        if let Some(name) = self.variable(span.start) {
            return Place::Variable(name.to_owned());
        }
        Place::Line(self.path.clone(), self.lines.partition_point(|start| *start <= span.start).max(1))
    }

    fn variable(&self, at: usize) -> Option<&str> {
        self.variables.iter().find(|(span, _)| span.contains(&at)).map(|(_, name)| name.as_str())
    }
}

struct Search<'a> {
    at: usize,
    key: Option<&'a str>,
    path: Vec<Step>,
    found: Option<Vec<Step>>,
}

impl Search<'_> {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let covers = key.span().contains(&self.at) || value.span().contains(&self.at);
            self.visit(Step::Key(key.get_ref().to_string()), covers, value.get_ref());
        }
    }

    fn visit(&mut self, step: Step, covers: bool, value: &DeValue<'_>) {
        let is_meant = match (&step, self.key) {
            (Step::Key(key), Some(meant)) => key == meant,
            (Step::Item(_), Some(_)) => false,
            (_, None) => true,
        };
        self.path.push(step);
        if covers && is_meant && self.found.as_ref().is_none_or(|found| found.len() < self.path.len()) {
            self.found = Some(self.path.clone());
        }
        if let Some(table) = value.as_table() {
            self.table(table);
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.visit(Step::Item(index), item.span().contains(&self.at), item.get_ref());
        }
        self.path.pop();
    }
}

fn remove_key(table: &mut DeTable<'_>, key: &str, path: &[Step]) {
    if path.is_empty() {
        table.remove(key);
    } else if let Some(value) = table.get_mut(key) {
        remove_below(value.get_mut(), path);
    }
}

fn remove_below(value: &mut DeValue<'_>, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    match (step, value) {
        (Step::Key(key), DeValue::Table(table)) => remove_key(table, key, rest),
        (Step::Item(index), DeValue::Array(array)) if rest.is_empty() => {
            let kept = array.iter().enumerate().filter(|(at, _)| at != index);
            *array = kept.map(|(_, item)| item.clone()).collect();
        }
        (Step::Item(index), DeValue::Array(array)) => {
            if let Some(item) = array.get_mut(*index) {
                remove_below(item.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn put<'a>(
    table: &mut DeTable<'a>,
    keys: &[String],
    span: &Range<usize>,
    value: Spanned<DeValue<'a>>,
) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else { return Ok(()) };
    if key.is_empty() {
        return Err("the name of a setting is empty".to_owned());
    }
    let name = Spanned::new(span.clone(), key.clone().into());
    if rest.is_empty() {
        // A key that is there keeps its place, and with it its line.
        table.insert(name, value);
        return Ok(());
    }
    let next =
        table.entry(name).or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::default())));
    match next.get_mut() {
        DeValue::Table(table) => put(table, rest, span, value),
        DeValue::Array(array) => put_item(array, key, rest, span, value),
        _ => Err(format!("`{key}` is one value: there are no settings below it")),
    }
}

fn put_item<'a>(
    array: &mut DeArray<'a>,
    name: &str,
    keys: &[String],
    span: &Range<usize>,
    value: Spanned<DeValue<'a>>,
) -> Result<(), String> {
    let Some((index, rest)) = keys.split_first() else { return Ok(()) };
    let count = array.len();
    let item = index.parse().ok().and_then(|index: usize| array.get_mut(index));
    let Some(item) = item else {
        return Err(format!("`{name}` is a list of {count}: name an item by its number, from 0"));
    };
    match item.get_mut() {
        DeValue::Table(table) if !rest.is_empty() => put(table, rest, span, value),
        _ if rest.is_empty() => {
            *item = value;
            Ok(())
        }
        _ => Err(format!("an item of `{name}` is one value: there are no settings below it")),
    }
}

fn shifted<'a>(value: Spanned<DeValue<'a>>, by: usize) -> Spanned<DeValue<'a>> {
    let moved = |span: Range<usize>| span.start.saturating_add(by)..span.end.saturating_add(by);
    let span = moved(value.span());
    let value = match value.into_inner() {
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|item| shifted(item, by)).collect()),
        DeValue::Table(table) => {
            let entries = table.into_iter().map(|(key, value)| {
                let span = moved(key.span());
                (Spanned::new(span, key.into_inner()), shifted(value, by))
            });
            DeValue::Table(entries.collect())
        }
        other => other,
    };
    Spanned::new(span, value)
}
