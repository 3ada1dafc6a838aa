//! Exports that the server makes into a file first.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::admin::plan::{Request, Segment};
use crate::admin::{Connection, Plan};
use crate::failure::{Exit, Failure};
use crate::http_client::Download;
use crate::json::{at, text};

/// How often the server is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(250);

/// An export that the server has made.
pub(super) struct Made {
    id: String,
}

impl Made {
    /// Has the server make an export, and waits for it.
    pub(super) async fn by(
        connection: &Connection,
        plan: &Plan,
        tenant: Option<&str>,
    ) -> Result<Self, Failure> {
        let path = [Segment::Fixed("audit"), Segment::Fixed("exports")];
        let start = Request { query: plan.request.query.clone(), ..Request::new(Method::POST, path) };
        let mut job = connection.send(&start, tenant).await?;
        let made = Self { id: text(&job, "/id").to_owned() };
        let is_seen = io::stderr().is_terminal();
        loop {
            if is_seen {
                let _ = write!(io::stderr(), "\r{}", progress(&job));
            }
            match text(&job, "/state") {
                "done" => break,
                "failed" => {
                    let failure = Failure::new(Exit::No, "the server could not make the export");
                    return Err(failure.with_lines([text(&job, "/reason")]));
                }
                _ => tokio::time::sleep(INTERVAL).await,
            }
            job = connection.send(&Request::get(made.path()), tenant).await?;
        }
        if is_seen {
            let _ = writeln!(io::stderr());
        }
        Ok(made)
    }

    /// Fetches the file.
    pub(super) async fn open(
        &self,
        connection: &Connection,
        tenant: Option<&str>,
    ) -> Result<Download, Failure> {
        let mut path = self.path();
        path.push(Segment::Fixed("content"));
        connection.open(&Request::get(path), tenant).await
    }

    /// Removes the file from the server.
    pub(super) async fn remove(&self, connection: &Connection, tenant: Option<&str>) -> Result<(), Failure> {
        connection.send(&Request::new(Method::DELETE, self.path()), tenant).await.map(drop)
    }

    fn path(&self) -> Vec<Segment> {
        vec![Segment::Fixed("audit"), Segment::Fixed("exports"), Segment::Given(self.id.clone())]
    }
}

fn progress(job: &Value) -> String {
    let (entries, total) = (text(job, "/entries"), at(job, "/total").as_str());
    let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
    format!("{}: {entries}{of} entries, {} bytes", text(job, "/state"), text(job, "/bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_of_how_many_when_that_is_known() {
        let job = serde_json::json!({"state": "running", "entries": "128", "total": "700", "bytes": "9000"});
        assert_eq!(progress(&job), "running: 128 of 700 entries, 9000 bytes");
        let job = serde_json::json!({"state": "waiting", "entries": "0", "total": null, "bytes": "0"});
        assert_eq!(progress(&job), "waiting: 0 entries, 0 bytes");
    }
}
