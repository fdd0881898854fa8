//! Directories of clients as build contexts.

use std::fmt;
use std::io;
use std::sync::Arc;

use engine::{BringFiles, Bringing, ClientFiles, IgnoreText, OnBytes};
use tokio::sync::Mutex;
use tonic::Status;

use crate::failure::SourceText;
use crate::llb::Local;
use crate::session::files::{Wanted, exclude_patterns};
use crate::session::{KeptDirectories, KeptDirectory, Session};

/// No Dockerfile and no ignore file that a person or a program writes comes near it.
const TEXT_BYTES_MAX: u64 = 16 << 20;
const IGNORE_FILE: &str = ".dockerignore";

/// A directory of a client, brought when a build needs it and no earlier.
pub(crate) struct LocalFiles {
    session: Arc<Session>,
    kept: Arc<KeptDirectories>,
    wanted: Wanted,
    brought: Mutex<Option<KeptDirectory>>,
}

impl fmt::Debug for LocalFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LocalFiles({})", self.wanted.name)
    }
}

impl BringFiles for LocalFiles {
    fn bring(&self, on_bytes: OnBytes) -> Bringing<'_> {
        Box::pin(async move {
            let mut brought = self.brought.lock().await;
            if let Some(directory) = &*brought {
                return Ok(directory.path().to_owned());
            }
            let directory = self.session.sync(&self.kept, &self.wanted, move |count| on_bytes(count)).await;
            let directory = directory.map_err(|status| io::Error::other(status.message().to_owned()))?;
            let path = directory.path().to_owned();
            *brought = Some(directory);
            Ok(path)
        })
    }
}

/// Reads the Dockerfile of a client, and the ignore file that is for it alone.
pub(crate) async fn dockerfile(
    session: &Session,
    kept: &Arc<KeptDirectories>,
    directory: &str,
    name: &str,
) -> Result<(SourceText, Option<IgnoreText>), Status> {
    let own_ignore = format!("{name}{IGNORE_FILE}");
    let lower = name.to_lowercase();
    let mut follow = vec![name.to_owned(), own_ignore.clone()];
    // Docker takes `dockerfile` where there is no `Dockerfile`.
    if name == "Dockerfile" {
        follow.push(lower.clone());
    }
    let wanted = Wanted { name: directory.to_owned(), follow, ..Wanted::default() };
    let files = session.sync(kept, &wanted, |_| ()).await?;
    let mut text = session.text(&files, name, TEXT_BYTES_MAX).await?;
    if text.is_none() && name == "Dockerfile" {
        text = session.text(&files, &lower, TEXT_BYTES_MAX).await?;
    }
    let missing =
        || Status::unknown(format!("failed to read dockerfile: open {name}: no such file or directory"));
    let source = SourceText { name: name.to_owned(), text: text.ok_or_else(missing)? };
    let ignore = session.text(&files, &own_ignore, TEXT_BYTES_MAX).await?;
    Ok((source, ignore.map(|text| IgnoreText { name: base_name(&own_ignore).to_owned(), text })))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A directory of a client, without what its ignore file hides: `ignore`, or the one that is in it.
pub(crate) async fn context(
    session: &Arc<Session>,
    kept: &Arc<KeptDirectories>,
    directory: &str,
    ignore: Option<IgnoreText>,
) -> Result<ClientFiles, Status> {
    let ignore = match ignore {
        Some(ignore) => Some(ignore),
        None => {
            let follow = vec![IGNORE_FILE.to_owned()];
            let wanted = Wanted { name: directory.to_owned(), follow, ..Wanted::default() };
            let files = session.sync(kept, &wanted, |_| ()).await?;
            let text = session.text(&files, IGNORE_FILE, TEXT_BYTES_MAX).await?;
            text.map(|text| IgnoreText { name: IGNORE_FILE.to_owned(), text })
        }
    };
    let exclude = ignore.as_ref().map(|ignore| exclude_patterns(&ignore.text)).unwrap_or_default();
    let wanted = Wanted { name: directory.to_owned(), exclude, ..Wanted::default() };
    let files =
        LocalFiles { session: session.clone(), kept: kept.clone(), wanted, brought: Mutex::default() };
    Ok(ClientFiles { files: Arc::new(files), ignore })
}

/// A directory of a client as a definition wants it.
pub(crate) fn chosen(session: &Arc<Session>, kept: &Arc<KeptDirectories>, local: Local) -> ClientFiles {
    let Local { name, session: _, include, exclude, follow, hint } = local;
    let wanted = Wanted { name, exclude, follow, include, hint };
    let files =
        LocalFiles { session: session.clone(), kept: kept.clone(), wanted, brought: Mutex::default() };
    ClientFiles { files: Arc::new(files), ignore: None }
}
