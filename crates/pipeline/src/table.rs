use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::resource::parameter;
use crate::route::PathMatch;
use crate::{NormalPath, Route, RouteConfig};

/// All routes, compiled: a look-up costs the segments of the path, not the number of routes.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact_hosts: HashMap<String, Paths>,
    /// Keyed by the name below which any host matches; looked up from the longest suffix to the shortest.
    suffix_hosts: HashMap<String, Paths>,
    any_host: Paths,
}

#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<Arc<Route>>>,
    /// Keyed by the prefix without its trailing slash; the root is the empty text.
    prefix: HashMap<String, Vec<Arc<Route>>>,
}

/// What a [`RouteTable`] says of a request.
#[derive(Clone, Debug)]
pub enum Matched {
    /// A route takes it.
    Route(Arc<Route>),
    /// Routes take this path, but only with these methods.
    MethodNotAllowed(Vec<Method>),
    /// No route takes it.
    Nothing,
}

impl RouteTable {
    /// Compiles routes. Counts continue from `previous` for routes that keep their id.
    ///
    /// # Errors
    /// One sentence for each route that is wrong: an id twice, a path not in its normal form, two routes that take the same requests.
    pub fn new(configs: Vec<RouteConfig>, previous: Option<&Self>) -> Result<Self, Vec<String>> {
        let mut table = Self::default();
        let mut problems = Vec::new();
        for config in configs {
            let id = config.id.clone();
            match NormalPath::new(&config.path) {
                Ok(normal) if normal.as_str() == config.path => {}
                Ok(normal) => problems.push(format!(
                    "route `{id}`: path `{}` must be written `{}`",
                    config.path,
                    normal.as_str()
                )),
                Err(problem) => problems.push(format!("route `{id}`: path `{}`: {problem}", config.path)),
            }
            if config.timeout_ms == 0 {
                problems.push(format!("route `{id}`: timeout_ms must be at least 1"));
            }
            if config.access == crate::Access::Public && config.permission.is_some() {
                problems.push(format!(
                    "route `{id}`: a public route has no principal that could hold a permission"
                ));
            }
            let wrong = config.problems_of_resource();
            problems.extend(wrong.into_iter().map(|problem| format!("route `{id}`: {problem}")));
            if table.routes.iter().any(|route| route.config.id == id) {
                problems.push(format!("route `{id}`: the id is used twice"));
                continue;
            }
            let stats = previous.and_then(|table| table.get(id.as_str())).map(|route| route.stats.clone());
            let route = Arc::new(Route { config, stats: stats.unwrap_or_default() });
            if let Err(other) = table.insert(&route) {
                problems.push(format!("route `{id}`: takes the same requests as `{other}`"));
            }
            table.routes.push(route);
        }
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// Returns the routes in the order they were configured.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Finds a route by its name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.config.id.as_str() == id)
    }

    /// Finds the route of a request. The host is without its port, in lower case.
    #[must_use]
    pub fn find(&self, host: &str, path: &NormalPath<'_>, method: &Method) -> Matched {
        let mut allowed = Vec::new();
        let exact = self.exact_hosts.get(host).into_iter();
        let mut suffix = host;
        let suffixes = std::iter::from_fn(|| {
            suffix = suffix.split_once('.')?.1;
            Some(suffix)
        });
        // A host of the table that has no path for the request leaves it to the next less specific one.
        let below = suffixes.filter_map(|suffix| self.suffix_hosts.get(suffix));
        for paths in exact.chain(below).chain(std::iter::once(&self.any_host)) {
            for routes in paths.candidates(path.as_str()) {
                let fits = |route: &&Arc<Route>| route.fits(path.as_str());
                if let Some(route) = routes.iter().filter(fits).find(|route| route.takes(method)) {
                    return Matched::Route(Arc::clone(route));
                }
                let others = routes.iter().filter(fits);
                allowed.extend(
                    others.flat_map(|route| route.config.methods.iter().map(|taken| taken.0.clone())),
                );
            }
        }
        if allowed.is_empty() { Matched::Nothing } else { Matched::MethodNotAllowed(allowed) }
    }

    fn insert(&mut self, route: &Arc<Route>) -> Result<(), String> {
        if route.config.hosts.is_empty() {
            return self.any_host.insert(route);
        }
        for host in &route.config.hosts {
            let hosts = if host.any_below { &mut self.suffix_hosts } else { &mut self.exact_hosts };
            hosts.entry(host.name.clone()).or_default().insert(route)?;
        }
        Ok(())
    }
}

/// What tells routes apart that begin in the same way: the more segments the first, names before parameters, one path before all below.
fn shape(config: &RouteConfig) -> (Reverse<usize>, Vec<(bool, &str)>, bool) {
    if !config.has_parameters() {
        return (Reverse(0), Vec::new(), false);
    }
    let path = match config.r#match {
        PathMatch::Exact => config.path.as_str(),
        PathMatch::Prefix => config.path.trim_end_matches('/'),
    };
    let segment = |segment| if parameter(segment).is_some() { (true, "") } else { (false, segment) };
    let segments: Vec<(bool, &str)> = path.split('/').map(segment).collect();
    (Reverse(segments.len()), segments, config.r#match == PathMatch::Prefix)
}

impl Paths {
    fn insert(&mut self, route: &Arc<Route>) -> Result<(), String> {
        let path = &route.config.path;
        let same_path = match route.config.r#match {
            _ if route.config.has_parameters() => {
                self.prefix.entry(route.config.beginning().to_owned()).or_default()
            }
            PathMatch::Exact => self.exact.entry(path.clone()).or_default(),
            PathMatch::Prefix => self.prefix.entry(path.trim_end_matches('/').to_owned()).or_default(),
        };
        let methods = &route.config.methods;
        let overlaps = |other: &&Arc<Route>| {
            let others = &other.config.methods;
            let same_methods = (methods.is_empty() && others.is_empty())
                || methods.iter().any(|method| others.contains(method));
            same_methods && shape(&route.config) == shape(&other.config)
        };
        if let Some(other) = same_path.iter().find(overlaps) {
            return Err(other.config.id.to_string());
        }
        same_path.push(Arc::clone(route));
        // A route that names its methods is more specific than one that takes them all.
        let rank = |route: &Arc<Route>| route.config.methods.is_empty();
        same_path.sort_by(|a, b| (shape(&a.config), rank(a)).cmp(&(shape(&b.config), rank(b))));
        Ok(())
    }

    /// Goes through what takes the path: the exact match, then prefixes from the longest to the root.
    fn candidates<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Vec<Arc<Route>>> {
        let exact = (!self.exact.is_empty()).then(|| self.exact.get(path)).flatten();
        let mut prefix = (!self.prefix.is_empty()).then(|| path.strip_suffix('/').unwrap_or(path));
        let prefixes = std::iter::from_fn(move || {
            let current = prefix?;
            prefix = current.rfind('/').and_then(|slash| current.get(..slash));
            Some(current)
        });
        exact.into_iter().chain(prefixes.filter_map(|prefix| self.prefix.get(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: &str, fields: &str) -> RouteConfig {
        let text = format!("id = \"{id}\"\nupstream = \"u\"\n{fields}");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn table() -> RouteTable {
        let routes = vec![
            route("root", "path = \"/\""),
            route("users", "path = \"/v1/users\""),
            route("user-me", "path = \"/v1/users/me\"\nmatch = \"exact\"\nmethods = [\"GET\"]"),
            route("create", "path = \"/v1/users\"\nmethods = [\"POST\"]"),
            route("admin", "path = \"/\"\nhosts = [\"admin.example.com\"]\nmethods = [\"GET\", \"HEAD\"]"),
            route("wild", "path = \"/w\"\nhosts = [\"*.example.com\"]"),
        ];
        RouteTable::new(routes, None).unwrap()
    }

    fn find(host: &str, path: &str, method: Method) -> String {
        match table().find(host, &NormalPath::new(path).unwrap(), &method) {
            Matched::Route(route) => route.id().to_string(),
            Matched::MethodNotAllowed(methods) => format!("405 {methods:?}"),
            Matched::Nothing => "404".to_owned(),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        assert_eq!(find("x", "/", Method::GET), "root");
        assert_eq!(find("x", "/v1/users", Method::GET), "users");
        assert_eq!(find("x", "/v1/users/", Method::GET), "users");
        assert_eq!(find("x", "/v1/users/7/keys", Method::GET), "users");
        assert_eq!(find("x", "/v1/users/me", Method::GET), "user-me");
        assert_eq!(find("x", "/v1/users/me", Method::PUT), "users");
        assert_eq!(find("x", "/v1/users/7", Method::POST), "create");
        assert_eq!(find("x", "/v1/usersx", Method::GET), "root", "a prefix is whole segments");
    }

    #[test]
    fn hosts_go_before_paths() {
        assert_eq!(find("admin.example.com", "/v1/users", Method::GET), "admin");
        assert_eq!(find("admin.example.com", "/w/1", Method::POST), "wild");
        assert_eq!(find("a.b.example.com", "/w", Method::GET), "wild");
        assert_eq!(find("example.com", "/w", Method::GET), "root", "*.example.com is below example.com");
    }

    #[test]
    fn a_parameter_stands_for_any_segment_and_gives_way_to_names() {
        let routes = vec![
            route("all", "path = \"/d\""),
            route("one", "path = \"/d/{id}\"\nmethods = [\"GET\"]"),
            route("pages", "path = \"/d/{id}/pages\""),
            route("page", "path = \"/d/{id}/{page}\""),
            route("alone", "path = \"/d/{id}\"\nmatch = \"exact\"\nmethods = [\"PUT\"]"),
            route("new", "path = \"/d/new\""),
        ];
        let table = RouteTable::new(routes, None).unwrap();
        let find = |path: &str, method| match table.find("x", &NormalPath::new(path).unwrap(), &method) {
            Matched::Route(route) => route.id().to_string(),
            other => format!("{other:?}"),
        };
        for (path, method, id) in [
            ("/d", Method::GET, "all"),
            ("/d/", Method::GET, "all"),
            ("/d/42", Method::GET, "one"),
            ("/d/42/pages/1", Method::GET, "pages"),
            ("/d/42/other", Method::GET, "page"),
            ("/d/42", Method::PUT, "alone"),
            ("/d/42", Method::POST, "all"),
            ("/d/new", Method::GET, "new"),
        ] {
            assert_eq!(find(path, method.clone()), id, "{method} {path}");
        }
    }

    #[test]
    fn a_resource_that_no_path_names_is_told() {
        let routes = vec![
            route("a", "path = \"/a/{id}\"\npermission = \"x:read\"\nresource = \"x/{di}\""),
            route("b", "path = \"/b/{id}/{id}\"\npermission = \"x:read\"\nresource = \"y/{id}\""),
            route("c", "path = \"/c/v{id}\"\nresource = \"x\""),
            route("d", "path = \"/a/{other}\""),
        ];
        let problems = RouteTable::new(routes, None).unwrap_err();
        let rule = "a parameter is a whole segment, 1 to 32 of a-z, 0-9 and `_` in braces";
        assert_eq!(
            problems,
            [
                "route `a`: resource `x/{di}` names `di`, which is no parameter of the path",
                "route `b`: the path has the parameter `id` twice",
                "route `b`: resource `y/{id}` is not what `x:read` is a permission for",
                &format!("route `c`: `v{{id}}` in the path is no parameter: {rule}"),
                "route `c`: resource `x` is of no use without a permission",
                "route `d`: takes the same requests as `a`",
            ]
        );
    }

    #[test]
    fn connect_and_trace_are_never_taken() {
        assert_eq!(find("x", "/", Method::CONNECT), "404");
        assert_eq!(find("x", "/", Method::TRACE), "404");
    }

    #[test]
    fn a_known_path_with_another_method_says_which_it_takes() {
        let table = RouteTable::new(vec![route("a", "path = \"/a\"\nmethods = [\"GET\"]")], None).unwrap();
        let found = table.find("x", &NormalPath::new("/a/b").unwrap(), &Method::PUT);
        assert!(matches!(found, Matched::MethodNotAllowed(methods) if methods == [Method::GET]));
    }

    #[test]
    fn every_wrong_route_is_named_at_once() {
        let routes = vec![
            route("a", "path = \"/a/../b\""),
            route("b", "path = \"/c\""),
            route("b", "path = \"/d\""),
            route("c", "path = \"/c/\""),
            route("d", "path = \"/d\"\naccess = \"public\"\npermission = \"x:read\""),
        ];
        let problems = RouteTable::new(routes, None).unwrap_err();
        assert_eq!(
            problems,
            [
                "route `a`: path `/a/../b` must be written `/b`",
                "route `b`: the id is used twice",
                "route `c`: takes the same requests as `b`",
                "route `d`: a public route has no principal that could hold a permission",
            ]
        );
    }

    #[test]
    fn a_typo_in_a_route_is_an_error() {
        let wrong = "id = \"a\"\nupstream = \"u\"\npath = \"/\"\npermision = \"a:b\"";
        assert!(
            toml::from_str::<RouteConfig>(wrong)
                .unwrap_err()
                .to_string()
                .contains("unknown field `permision`")
        );
    }
}
