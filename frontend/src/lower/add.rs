//! `ADD`: what `COPY` does, and files from elsewhere.

use graph::{GitSource, HttpSource, Label, Location};
use image::Digest;

use super::copy::{Piece, Result};
use super::stage::StageState;
use super::{Lowering, SourceKey, paths};
use crate::ast::{Copy, Instruction, Word};
use crate::diagnostic::Diagnostic;
use crate::remote::{self, GitReference, Remote};

/// The only kind of checksum that files of HTTP servers can have, as in BuildKit.
const CHECKSUM_PREFIX: &str = "sha256:";
/// Any name: the file is the only one where it is.
const ONLY_FILE: &str = "*";

impl Lowering<'_> {
    pub(super) fn add(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        add: &Copy,
    ) -> Result<()> {
        let sources = self.expand_all(state, &add.sources)?;
        let mut remotes = Vec::new();
        for (source, word) in sources.iter().zip(&add.sources) {
            let parsed = remote::of_source(source).transpose();
            remotes.push(parsed.map_err(|error| {
                let mut found = wrong("InvalidSource", word, error.to_string());
                found.buildkit = error.buildkit().map(Into::into);
                found
            })?);
        }
        let checksum = self.expand_option(state, add.checksum.as_ref())?;
        check_checksum(add, checksum.as_deref(), &remotes)?;
        let mut pieces = Vec::new();
        for ((source, word), remote) in sources.into_iter().zip(&add.sources).zip(remotes) {
            match remote {
                Some(remote) => {
                    pieces.push(self.remote(instruction, add, word, &source, remote, checksum.as_deref())?);
                }
                None => {
                    self.check_ignored(&source, word, "Add");
                    match pieces.last_mut() {
                        Some(Piece::Paths(paths)) => paths.push(source),
                        _ => pieces.push(Piece::Paths(vec![source])),
                    }
                }
            }
        }
        self.files(state, instruction, add, &pieces, "ADD")
    }

    fn remote(
        &mut self,
        instruction: &Instruction,
        add: &Copy,
        word: &Word,
        url: &str,
        remote: Remote,
        checksum: Option<&str>,
    ) -> Result<Piece> {
        let (key, pattern) = match remote {
            Remote::Http(http) => {
                let filename = remote::file_name(url);
                let pattern = filename.as_deref().map_or_else(|| ONLY_FILE.to_owned(), paths::escape_pattern);
                let checksum = checksum.map(|checksum| http_checksum(add, word, checksum)).transpose()?;
                (SourceKey::Http(HttpSource { filename, checksum, ..http }), pattern)
            }
            Remote::Git(git) => (SourceKey::Git(git_source(add, word, git, checksum)?), ".".to_owned()),
        };
        let shown = graph::redacted(url);
        let label = Label {
            name: shown.clone(),
            stage: String::new(),
            location: Some(Location { span: instruction.span.clone(), line: instruction.line }),
        };
        let unpack = add.unpack.unwrap_or(false) && matches!(key, SourceKey::Http(_));
        Ok(Piece::Remote { input: self.source(key, || label), pattern, unpack, url: url.to_owned(), shown })
    }
}

/// One checksum is for one source.
fn check_checksum(add: &Copy, checksum: Option<&str>, remotes: &[Option<Remote>]) -> Result<()> {
    if let (Some(word), Some(_)) = (&add.checksum, checksum) {
        match remotes {
            [Some(_)] => {}
            [_] | [] => {
                let message = "`--checksum` needs a source that is a URL or a git repository";
                let words = "checksum requires HTTP(S) or Git sources";
                return Err(known(word, message.to_owned(), words));
            }
            _ => {
                let message = "`--checksum` cannot be for several sources".to_owned();
                let words = "checksum can't be specified for multiple sources";
                return Err(known(word, message, words));
            }
        }
    }
    Ok(())
}

/// What a file of a server must be.
pub(crate) fn http_checksum(add: &Copy, word: &Word, checksum: &str) -> Result<Digest> {
    let word = add.checksum.as_ref().unwrap_or(word);
    let parsed = checksum.strip_prefix(CHECKSUM_PREFIX).map(Digest::from_hex);
    match parsed {
        Some(Ok(digest)) => Ok(digest),
        Some(Err(error)) => Err(known(word, error.to_string(), "invalid checksum digest length")),
        None => {
            let message =
                format!("invalid checksum `{checksum}`, expected `{CHECKSUM_PREFIX}` and 64 hex digits");
            let words = if checksum.contains(':') {
                "unsupported digest algorithm"
            } else {
                "invalid checksum digest format"
            };
            Err(known(word, message, words))
        }
    }
}

/// The repository that is added. The URL and the flags must not say different things, as in BuildKit.
pub(crate) fn git_source(
    add: &Copy,
    word: &Word,
    git: GitReference,
    checksum: Option<&str>,
) -> Result<GitSource> {
    let GitReference { mut source, keep_git_dir } = git;
    if let (Some(flag), Some(of_url)) = (add.keep_git_dir, keep_git_dir)
        && flag != of_url
    {
        let message = "`--keep-git-dir` and the `keep-git-dir` of the URL say different things".to_owned();
        return Err(known(word, message, "inconsistent keep-git-dir configuration"));
    }
    source.keep_git_dir = keep_git_dir.or(add.keep_git_dir).unwrap_or(false);
    if let Some(checksum) = checksum {
        let word = add.checksum.as_ref().unwrap_or(word);
        remote::check_commit(checksum).map_err(|error| wrong("InvalidFlagValue", word, error.to_string()))?;
        if let Some(of_url) = source.checksum.as_deref().filter(|of_url| *of_url != checksum) {
            let message = format!("`--checksum` is {checksum}, the URL says {of_url}");
            let words = format!("checksum mismatch {checksum:?} != {of_url:?}");
            return Err(known(word, message, &words));
        }
        source.checksum = Some(checksum.to_owned());
    }
    Ok(source)
}

fn wrong(rule: &'static str, word: &Word, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(rule, word.span.clone(), message))
}

/// The same where BuildKit says something else.
fn known(word: &Word, message: String, words: &str) -> Box<Diagnostic> {
    let found = Diagnostic::error("InvalidFlagValue", word.span.clone(), message);
    Box::new(found.with_buildkit(words))
}
