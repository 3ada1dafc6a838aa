//! Storage ports, the adapters we ship, and the conformance suites, as the sources declare them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token};

/// How the types of shipped adapters begin, and the adapter's name in a suite.
const SHIPPED: [(&str, &str); 3] = [("Memory", "memory"), ("Pg", "postgres"), ("Redis", "redis")];

#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// Snake-case name of each `pub trait …Store` and where it is.
    pub(crate) declared: BTreeMap<String, String>,
    /// Ports declared a second time, and where.
    pub(crate) duplicates: Vec<(String, String)>,
    pub(crate) shipped: Vec<Shipped>,
    /// `(macro, module)` of each invocation of a conformance macro.
    pub(crate) suites: BTreeSet<(String, String)>,
}

/// One `impl …Store for` a shipped adapter.
#[derive(Debug)]
pub(crate) struct Shipped {
    pub(crate) port: String,
    pub(crate) adapter: &'static str,
    pub(crate) at: String,
}

impl Ports {
    pub(crate) fn find(sources: &[Source]) -> Self {
        let mut ports = Self::default();
        let shipping = || sources.iter().filter(|source| source.is_crate_source());
        for source in shipping() {
            ports.find_declared(source);
        }
        for source in shipping() {
            ports.find_shipped(source);
        }
        for source in sources {
            ports.find_suites(source);
        }
        ports
    }

    fn find_declared(&mut self, source: &Source) {
        for window in source.tokens.windows(3) {
            if let [public, kind, name] = window
                && public.is("pub")
                && kind.is("trait")
                && name.text.ends_with("Store")
                && !name.in_test
            {
                let (port, at) = (snake_case(&name.text), source.at(name.line));
                match self.declared.entry(port) {
                    Entry::Occupied(first) => self.duplicates.push((first.key().clone(), at)),
                    Entry::Vacant(free) => {
                        free.insert(at);
                    }
                }
            }
        }
    }

    fn find_shipped(&mut self, source: &Source) {
        for (index, token) in source.tokens.iter().enumerate() {
            if token.is("impl")
                && !token.in_test
                && let Some((implemented, implementor)) = source.tokens.get(index + 1..).and_then(header)
                && let port = snake_case(implemented)
                && self.declared.contains_key(&port)
                && let Some((_, adapter)) = SHIPPED.iter().find(|(prefix, _)| implementor.starts_with(prefix))
            {
                self.shipped.push(Shipped { port, adapter, at: source.at(token.line) });
            }
        }
    }

    fn find_suites(&mut self, source: &Source) {
        for window in source.tokens.windows(5) {
            if let [name, bang, _open, keyword, module] = window
                && name.text.ends_with("_conformance")
                && bang.is("!")
                && keyword.is("mod")
            {
                self.suites.insert((name.text.clone(), module.text.clone()));
            }
        }
    }
}

/// Reads what follows `impl`: the last names of the trait's and of the type's path.
fn header(tokens: &[Token]) -> Option<(&str, &str)> {
    let mut rest = skip_generics(tokens);
    let mut implemented = None;
    loop {
        let (token, after) = rest.split_first()?;
        rest = if token.is("for") {
            break;
        } else if token.is("<") {
            skip_generics(rest)
        } else if token.is_name() {
            implemented = Some(token.text.as_str());
            after
        } else if token.is(":") {
            after
        } else {
            return None;
        };
    }
    let after = rest.get(1..)?;
    let path = after.iter().take_while(|token| (token.is_name() && !token.is("where")) || token.is(":"));
    Some((implemented?, path.filter(|token| token.is_name()).last()?.text.as_str()))
}

/// Skips a balanced `<…>` at the start, if there is one; the arrow of `Fn() -> T` closes nothing.
fn skip_generics(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    let mut arrow = false;
    for (index, token) in tokens.iter().enumerate() {
        if token.is("<") {
            depth += 1;
        } else if token.is(">") && !arrow {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            let end = if index == 0 && !token.is("<") { 0 } else { index + 1 };
            return tokens.get(end..).unwrap_or_default();
        }
        arrow = token.is("-");
    }
    &[]
}

/// `ApiKeyStore` as `api_key_store`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Ports {
        let trait_at = Source::new("crates/identity/src/store.rs", "pub trait ApiKeyStore: Send + Sync {}");
        Ports::find(&[trait_at, Source::new("crates/postgres/src/identity.rs", text)])
    }

    fn shipped(text: &str) -> Vec<(String, &'static str)> {
        ports(text).shipped.into_iter().map(|shipped| (shipped.port, shipped.adapter)).collect()
    }

    #[test]
    fn finds_adapters_under_any_spelling_of_the_header() {
        for header in [
            "impl ApiKeyStore for PgApiKeyStore {",
            "impl stanchion_identity::ApiKeyStore for PgApiKeyStore where Self: Sized {",
            "impl<C: Fn() -> Vec<u8>> ApiKeyStore\n    for self::PgApiKeyStore<C>\n{",
            "impl<'a, const N: usize> ApiKeyStore<N> for PgApiKeyStore<'a> {",
        ] {
            assert_eq!(
                shipped(&format!("{header}}}")),
                [("api_key_store".to_owned(), "postgres")],
                "{header}"
            );
        }
    }

    #[test]
    fn passes_over_what_is_not_a_shipped_adapter() {
        for text in [
            "// impl ApiKeyStore for PgApiKeyStore {}",
            "const A: &str = \"impl ApiKeyStore for PgApiKeyStore {}\";",
            "impl<S: ApiKeyStore> ApiKeyStore for Faulty<S> {}",
            "impl PgApiKeyStore {} impl Debug for PgApiKeyStore {}",
            "fn open(store: impl ApiKeyStore) {} fn iter() -> impl Iterator { for x in y {} }",
            "#[cfg(test)] mod tests { impl ApiKeyStore for MemoryFake {} }",
        ] {
            assert_eq!(shipped(text), [], "{text}");
        }
    }

    #[test]
    fn ports_are_public_traits_outside_tests() {
        let found = ports(
            "trait AStore {} pub(crate) trait BStore {} #[cfg(test)] pub trait CStore {} pub trait D {}",
        );
        assert_eq!(found.declared.keys().collect::<Vec<_>>(), ["api_key_store"]);
    }

    #[test]
    fn suites_are_invocations_with_a_module() {
        let found = ports(
            "macro_rules! api_key_store_conformance { (mod $name:ident, $make:expr) => {} }
             stanchion_identity::api_key_store_conformance!(mod postgres_api_key_store, fresh());",
        );
        let suite = ("api_key_store_conformance".to_owned(), "postgres_api_key_store".to_owned());
        assert_eq!(found.suites.into_iter().collect::<Vec<_>>(), [suite]);
    }
}
