use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stanchion_core::{Author, Scope, SubjectRef};
use stanchion_identity::{NewKey, PlainKey};
use stanchion_pipeline::Engines;
use stanchion_rbac::{Assignment, Role, RoleId};

use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::serve;
use crate::wiring::Platform;

/// The role that may do everything on the platform, and in every tenant through the admin API.
const ROLE: &str = "platform-admin";

/// What the key of the first administrator is called.
pub(crate) const NAME: &str = "first administrator";

/// What `stanchion key create --admin` is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) config: PathBuf,
    pub(crate) subject: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
}

/// Makes an administrator straight in the stores, for when there is none who could be asked.
pub(crate) async fn run(asked: Asked, environment: &Environment) -> Result<(), Failure> {
    let path = asked.config.as_path();
    let config = serve::load(path, environment)?;
    if !config.storage.backend.is_durable() {
        let why = "a server that keeps everything in memory makes its first administrator when it starts";
        return Err(
            Failure::new(Exit::Input, "there is no store to make an administrator in").with_lines([why])
        );
    }
    let subject = match asked.subject {
        Some(text) => {
            let invalid = |error| Failure::new(Exit::Input, "--subject is not valid").because(&error);
            text.parse().map_err(invalid)?
        }
        None => subject()?,
    };
    let (platform, _work) = Platform::open(&config, path, environment).await?;
    let name = asked.name.as_deref().unwrap_or(NAME);
    let key = administrator(platform.pipeline.engines(), &subject, name).await?;
    hand_over(&key, asked.key_file.as_deref())
}

/// Returns whom the first administrator's key authenticates.
pub(crate) fn subject() -> Result<SubjectRef, Failure> {
    SubjectRef::service("first-administrator").map_err(|error| failed(&error))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::No, "the administrator could not be made").because(error)
}

/// Makes an administrator of the platform: somebody has to be there before the admin API can be used. Identity keeps hashes only, so
/// a key cannot be brought along: one is issued, and this is the one time that it can be seen.
pub(crate) async fn administrator(
    engines: &Engines,
    subject: &SubjectRef,
    name: &str,
) -> Result<PlainKey, Failure> {
    let author = Author::system("bootstrap");
    let role: RoleId = ROLE.parse().map_err(|error| failed(&error))?;
    let standing = engines.rbac.get_role(Scope::Platform, &role).await.map_err(|error| failed(&error))?;
    if standing.is_none() {
        let title = "Platform administrator".parse().map_err(|error| failed(&error))?;
        let everything = "*:*".parse().map_err(|error| failed(&error))?;
        let role = Role::new(role.clone(), title).with_permissions([everything]);
        engines.rbac.put_role(&author, Scope::Platform, role, None).await.map_err(|error| failed(&error))?;
    }
    let assignment = Assignment::new(subject.clone(), role);
    engines.rbac.assign(&author, Scope::Platform, assignment).await.map_err(|error| failed(&error))?;
    let new = NewKey {
        scope: Scope::Platform,
        subject: subject.clone(),
        name: name.parse().map_err(|error| failed(&error))?,
        environment: None,
        expires_at: None,
        cidrs: Vec::new(),
    };
    let (_, key) = engines.identity.issue(&author, new).await.map_err(|error| failed(&error))?;
    Ok(key)
}

/// Hands a key over: into a file that only its owner can read, or to standard output, where no log goes.
pub(crate) fn hand_over(key: &PlainKey, file: Option<&Path>) -> Result<(), Failure> {
    let written = match file {
        Some(path) => write_file(path, key),
        None => writeln!(io::stdout(), "administrator's key, shown once: {}", key.expose()),
    };
    written.map_err(|error| {
        let place = file.map_or_else(|| "standard output".to_owned(), |path| format!("`{}`", path.display()));
        Failure::new(Exit::Input, format!("the administrator's key cannot be written to {place}"))
            .because(&error)
    })
}

fn write_file(path: &Path, key: &PlainKey) -> io::Result<()> {
    // An older file may be readable by others, and would stay so.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use stanchion_core::SeededRandom;
    use stanchion_identity::Environment as KeyEnvironment;

    #[test]
    fn the_file_of_the_first_key_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "an older one, readable by all").unwrap();
        let key = PlainKey::generate(&KeyEnvironment::default(), &SeededRandom::new(1));
        hand_over(&key, Some(&path)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", key.expose()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let nowhere = directory.path().join("none/key");
        assert!(hand_over(&key, Some(&nowhere)).is_err());
    }
}
