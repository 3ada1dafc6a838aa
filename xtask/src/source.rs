//! Rust sources as tokens: comments and literals are not code, and test items are told apart.

use std::fs;

use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use proc_macro2::{Delimiter, LexError, Span, TokenStream, TokenTree};

/// A Rust file of the workspace.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace root.
    pub(crate) path: Utf8PathBuf,
    pub(crate) tokens: Vec<Token>,
    /// Lines outside items under `#[cfg(test)]`.
    pub(crate) lines: usize,
}

/// A name or one punctuation character; any literal is the token `"`.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Whether it is part of an item under `#[cfg(test)]`.
    pub(crate) in_test: bool,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) fn is_name(&self) -> bool {
        self.text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
    }
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, String> {
        let stream = text
            .parse()
            .map_err(|error: LexError| format!("{path}:{}: {error}", error.span().start().line))?;
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let lines = text.lines().count() - mark_tests(&mut tokens);
        Ok(Self { path: path.into(), tokens, lines })
    }

    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self::parse(path, text).unwrap()
    }

    /// Where a finding is: `path:line`.
    pub(crate) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.file_name() == Some("tests.rs")
            || self.path.components().any(|part| part.as_str() == "tests")
    }

    /// Whether the file is part of what a crate of `crates/` ships.
    pub(crate) fn is_crate_source(&self) -> bool {
        self.path.starts_with("crates") && self.is_module()
    }

    /// Whether the file is a module of a library or program, not a test, bench or example.
    pub(crate) fn is_module(&self) -> bool {
        self.path.components().any(|part| part.as_str() == "src") && !self.is_test()
    }
}

/// Reads every Rust file of the workspace; `tests/peers` and `tests/fuzz` are workspaces of their own.
pub(crate) fn load(root: &Utf8Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for top in ["crates", "xtask", "tests"] {
        for path in files(&root.join(top))? {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            if relative.extension() == Some("rs") && !is_other_workspace(relative) {
                let text = fs::read_to_string(&path).map_err(|error| format!("{relative}: {error}"))?;
                sources.push(Source::parse(relative.as_str(), &text)?);
            }
        }
    }
    Ok(sources)
}

fn is_other_workspace(file: &Utf8Path) -> bool {
    file.starts_with("tests/peers") || file.starts_with("tests/fuzz")
}

/// Every file below a directory in order, without build output and hidden names.
pub(crate) fn files(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>, String> {
    let broken = |error: std::io::Error| format!("{directory}: {error}");
    let mut entries: Vec<_> =
        directory.read_dir_utf8().map_err(broken)?.collect::<Result<_, _>>().map_err(broken)?;
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    let mut found = Vec::new();
    for entry in entries {
        let kind = entry.file_type().map_err(broken)?;
        if entry.file_name().starts_with('.') || entry.file_name() == "target" {
            continue;
        } else if kind.is_dir() {
            found.extend(files(entry.path())?);
        } else if kind.is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// The tokens of a stream in one row, brackets included.
fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    let token = |text: String, span: Span| Token { text, line: span.start().line, in_test: false };
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace | Delimiter::None => ("{", "}"),
                };
                into.push(token(open.to_owned(), group.span_open()));
                flatten(group.stream(), into);
                into.push(token(close.to_owned(), group.span_close()));
            }
            TokenTree::Ident(name) => into.push(token(name.to_string(), name.span())),
            TokenTree::Punct(punct) => into.push(token(punct.as_char().to_string(), punct.span())),
            TokenTree::Literal(literal) => into.push(token("\"".to_owned(), literal.span())),
        }
    }
}

/// Marks the items under `#[cfg(test)]` and tells how many lines they take.
fn mark_tests(tokens: &mut [Token]) -> usize {
    let mut lines = 0;
    let mut rest = tokens;
    while let Some(start) = rest.windows(7).position(is_cfg_test) {
        let (_, item) = std::mem::take(&mut rest).split_at_mut(start);
        let end = item_end(item);
        let (item, after) = item.split_at_mut(end);
        for token in &mut *item {
            token.in_test = true;
        }
        if let (Some(first), Some(last)) = (item.first(), item.last()) {
            lines += last.line - first.line + 1;
        }
        rest = after;
    }
    lines
}

fn is_cfg_test(window: &[Token]) -> bool {
    let spells = |words: &[&str]| window.iter().zip(words).all(|(token, word)| token.is(word));
    spells(&["#", "[", "cfg", "(", "test", ")", "]"]) || spells(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// How many tokens the item at the start takes, its attributes included.
fn item_end(item: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in item.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "a /* b /* c */ */ // d\n(\"e\\\"f\", 'g', r#\"h\ni\"#) x<'j>";
        let tokens = Source::new("lib.rs", text).tokens;
        let texts: Vec<_> = tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(texts, ["a", "(", "\"", ",", "\"", ",", "\"", ")", "x", "<", "'", "j", ">"]);
        assert_eq!(tokens.last().unwrap().line, 3);
    }

    #[test]
    fn test_items_are_marked_and_not_counted() {
        let text = "fn a() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        let source = Source::new("crates/core/src/lib.rs", text);
        assert_eq!(source.lines, 3);
        let tested = |name: &str| source.tokens.iter().find(|token| token.is(name)).unwrap().in_test;
        assert_eq!(["a", "b", "c", "more", "d"].map(tested), [false, true, false, true, false]);
    }

    #[test]
    fn tells_modules_from_tests() {
        let kinds = |path| {
            let source = Source::new(path, "");
            (source.is_test(), source.is_module(), source.is_crate_source())
        };
        assert_eq!(kinds("crates/core/src/id.rs"), (false, true, true));
        assert_eq!(kinds("xtask/src/main.rs"), (false, true, false));
        assert_eq!(kinds("crates/core/benches/core.rs"), (false, false, false));
        assert_eq!(kinds("crates/core/tests/it.rs"), (true, false, false));
        assert_eq!(kinds("crates/core/src/engine/tests.rs"), (true, false, false));
        assert_eq!(kinds("tests/it/main.rs"), (true, false, false));
    }
}
