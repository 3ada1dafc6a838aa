//! Fetches the logs of chains as files, in the layout of C2SP's tlog-tiles.

use std::fs;
use std::path::Path;

use http::StatusCode;
use serde_json::Value;
use stanchion_audit::log_files;

use super::{Progress, create, partial, unwritable};
use crate::admin::plan::{Request, Segment};
use crate::admin::{Connection, Plan, refused};
use crate::failure::{Exit, Failure};
use crate::json::{at, list, text};

/// Fetches a log for each chain into a directory of its class. The directory is there once all of it is. Returns how many entries the
/// logs have.
pub(super) async fn fetch(
    connection: &Connection,
    plan: &Plan,
    tenant: Option<&str>,
    out: &Path,
) -> Result<u64, Failure> {
    if out.exists() {
        let line = format!("`{}` exists already: name a directory that does not", out.display());
        return Err(Failure::new(Exit::Input, line));
    }
    let filters: Vec<&str> = plan.request.query.iter().map(|(name, _)| *name).collect();
    if filters.iter().any(|name| !matches!(*name, "class" | "format")) {
        let line = "tiles are whole logs: of the filters only --class goes with them";
        return Err(Failure::new(Exit::Input, line));
    }
    let class = plan.request.query.iter().find(|(name, _)| *name == "class").map(|(_, class)| class.as_str());
    let to = partial(out);
    let fetched = logs(connection, tenant, class, &to).await;
    let renamed = fetched.and_then(|entries| {
        fs::rename(&to, out).map_err(|error| unwritable(out, &error))?;
        Ok(entries)
    });
    renamed.inspect_err(|_| drop(fs::remove_dir_all(&to)))
}

async fn logs(
    connection: &Connection,
    tenant: Option<&str>,
    class: Option<&str>,
    to: &Path,
) -> Result<u64, Failure> {
    let path = [Segment::Fixed("audit"), Segment::Fixed("checkpoints")];
    let checkpoints = connection.send(&Request::get(path), tenant).await?;
    let of_class = |item: &&Value| {
        let chain = text(item, "/chain");
        class.is_none_or(|class| chain.rsplit('/').next() == Some(class))
    };
    let wanted: Vec<&Value> = list(&checkpoints, "/items").iter().filter(of_class).collect();
    if wanted.is_empty() {
        return Err(Failure::new(Exit::No, "there is no checkpoint yet"));
    }
    fs::create_dir_all(to).map_err(|error| unwritable(to, &error))?;
    let (progress, mut entries) = (Progress::default(), 0_u64);
    for checkpoint in wanted {
        let class = text(checkpoint, "/chain").rsplit('/').next().unwrap_or_default();
        let size = at(checkpoint, "/size");
        let size = size.as_u64().or_else(|| size.as_str()?.parse().ok()).unwrap_or(0);
        let directory = to.join(class);
        write(&directory.join("checkpoint"), text(checkpoint, "/note").as_bytes())?;
        let mut may_be_dropped = true;
        for file in log_files(size) {
            let is_entries = file.starts_with("tile/entries/");
            let Some(bytes) = get(connection, tenant, class, &file).await? else {
                // What was dropped when its time was over is missing from the front, and only of the entries.
                if is_entries && may_be_dropped {
                    continue;
                }
                let line = format!("the server has no `{file}` of the log of {class}");
                return Err(Failure::new(Exit::No, line));
            };
            may_be_dropped &= !is_entries;
            write(&directory.join(&file), &bytes)?;
        }
        entries = entries.saturating_add(size);
        progress.show(entries);
    }
    progress.end();
    Ok(entries)
}

async fn get(
    connection: &Connection,
    tenant: Option<&str>,
    class: &str,
    file: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut path = vec![Segment::Fixed("audit"), Segment::Fixed("log"), Segment::Given(class.to_owned())];
    path.extend(file.split('/').map(|part| Segment::Given(part.to_owned())));
    let answer = connection.fetch(&Request::get(path), tenant).await?;
    match answer.status {
        StatusCode::OK => Ok(Some(answer.body.to_vec())),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(refused(&answer)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| unwritable(path, &error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut file = create(path).map_err(failed)?;
    io_write(&mut file, bytes).map_err(failed)
}

fn io_write(file: &mut fs::File, bytes: &[u8]) -> std::io::Result<()> {
    std::io::Write::write_all(file, bytes)?;
    file.sync_all()
}
