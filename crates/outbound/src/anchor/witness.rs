use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, StatusCode};
use stanchion_audit::{Anchor, AnchorError, AnchorReceipt, Publication, WitnessKey};
use stanchion_core::{StoreError, StoreErrorKind, Text};

use crate::FileAnchor;

const BACKEND: &str = "witness";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read: a few lines of signatures.
const MOST: usize = 16_384;

/// A witness that speaks C2SP's tlog-witness: it signs for a checkpoint only if that follows from the last one it has seen. So nobody
/// is shown another log than it was.
///
/// It tells no checkpoint, only at which size it stands, so what it has signed is kept in a file beside.
pub struct WitnessAnchor {
    name: String,
    url: String,
    key: WitnessKey,
    client: Client,
    kept: FileAnchor,
}

impl WitnessAnchor {
    /// Prepares to talk to a witness: `url` is what `/add-checkpoint` is appended to, and the notes with its cosignatures are kept by
    /// `kept`. Nothing is sent yet.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new(url: &str, key: WitnessKey, kept: FileAnchor) -> Result<Self, reqwest::Error> {
        // Another part of the process may have chosen already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        let name = format!("witness {}", key.name());
        Ok(Self { name, url: format!("{}/add-checkpoint", url.trim_end_matches('/')), key, client, kept })
    }

    async fn ask(&self, body: String) -> Result<(StatusCode, String), StoreError> {
        let failed = |error: reqwest::Error| {
            let kind = if error.is_timeout() { StoreErrorKind::Timeout } else { StoreErrorKind::Unavailable };
            StoreError::new(kind, BACKEND, "add-checkpoint").with_source(error)
        };
        let mut response = self.client.post(&self.url).body(body).send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if bytes.len() + part.len() > MOST {
                break;
            }
            bytes.extend_from_slice(&part);
        }
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[async_trait]
impl Anchor for WitnessAnchor {
    fn name(&self) -> &str {
        &self.name
    }

    async fn publish(&self, publication: &Publication) -> Result<AnchorReceipt, AnchorError> {
        let Publication { from, hashes, checkpoint, .. } = publication;
        let note = checkpoint.note.as_str();
        let mut body = format!("old {from}\n");
        for hash in hashes {
            body.push_str(&hash.to_base64());
            body.push('\n');
        }
        body.push('\n');
        body.push_str(note);
        let (status, answer) = self.ask(body).await?;
        let failed = |why: String| {
            let source = std::io::Error::other(why);
            AnchorError::from(
                StoreError::new(StoreErrorKind::Unavailable, BACKEND, "add-checkpoint").with_source(source),
            )
        };
        match status {
            StatusCode::OK => {}
            // It stands elsewhere, and says where; or the size is the same and the root another.
            StatusCode::CONFLICT => {
                return Err(match answer.trim().parse::<u64>() {
                    Ok(size) if size == checkpoint.size && size == *from => {
                        AnchorError::Conflict { size, why: "the log has others" }
                    }
                    Ok(size) => AnchorError::Elsewhere { size },
                    Err(_) => failed("it answered 409 without a size".to_owned()),
                });
            }
            // The proof does not hold for what it has seen.
            StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(AnchorError::Conflict { size: *from, why: "the log does not lead there" });
            }
            other => return Err(failed(format!("it answered {other}"))),
        }
        let (line, _) = self
            .key
            .verify(note, &answer)
            .map_err(|error| failed(format!("its cosignature is not believed: {error}")))?;
        let mut cosigned = publication.clone();
        cosigned.checkpoint.note = format!("{note}{line}\n").into();
        self.kept.publish(&cosigned).await
    }

    async fn latest(&self, origin: &str) -> Result<Option<Text>, StoreError> {
        self.kept.latest(origin).await
    }
}

impl fmt::Debug for WitnessAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitnessAnchor").field("url", &self.url).finish_non_exhaustive()
    }
}
