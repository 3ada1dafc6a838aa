use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use stanchion_core::{Author, Scope, SubjectRef};
use stanchion_identity::{NewKey, PlainKey};
use stanchion_pipeline::Engines;
use stanchion_rbac::{Assignment, Role};

use crate::failure::{Exit, Failure};

/// The role that may do everything on the platform, and in every tenant through the admin API.
const ROLE: &str = "platform-admin";

/// Makes the first administrator of an empty platform: somebody has to be there before the admin API can be used. Identity keeps hashes
/// only, so a key cannot be brought along: one is issued, and this is the one time that it can be seen.
pub(crate) async fn first_administrator(engines: &Engines) -> Result<PlainKey, Failure> {
    let author = Author::system("bootstrap");
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::No, "the first administrator could not be made").because(error)
    };
    let role = ROLE.parse().map_err(|error| failed(&error))?;
    let name = "Platform administrator".parse().map_err(|error| failed(&error))?;
    let everything = "*:*".parse().map_err(|error| failed(&error))?;
    let role = Role::new(role, name).with_permissions([everything]);
    let subject = SubjectRef::service("first-administrator").map_err(|error| failed(&error))?;
    let assignment = Assignment::new(subject.clone(), role.id.clone());
    engines.rbac.put_role(&author, Scope::Platform, role, None).await.map_err(|error| failed(&error))?;
    engines.rbac.assign(&author, Scope::Platform, assignment).await.map_err(|error| failed(&error))?;
    let new = NewKey {
        scope: Scope::Platform,
        subject,
        name: "first administrator".parse().map_err(|error| failed(&error))?,
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
        None => writeln!(io::stdout(), "first administrator's key, shown once: {}", key.expose()),
    };
    written.map_err(|error| {
        let place = file.map_or_else(|| "standard output".to_owned(), |path| format!("`{}`", path.display()));
        Failure::new(Exit::Input, format!("the first administrator's key cannot be written to {place}"))
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
    use stanchion_identity::Environment;

    #[test]
    fn the_file_of_the_first_key_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "an older one, readable by all").unwrap();
        let key = PlainKey::generate(&Environment::default(), &SeededRandom::new(1));
        hand_over(&key, Some(&path)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", key.expose()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let nowhere = directory.path().join("none/key");
        assert!(hand_over(&key, Some(&nowhere)).is_err());
    }
}
