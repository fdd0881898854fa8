//! Sources: images, directories of clients, repositories, files of servers, results of other builds.

use std::collections::BTreeMap;

use engine::operations::{ContextSource, GitSource, HttpSource, ImageSource, Op, VertexId, of_repository};
use image::{Digest, Platform, Reference};

use super::LlbError;
use super::lower::{Lowering, of_message, unsupported, wrong};
use super::read::Operation;
use crate::layouts::LayoutImage;
use crate::proto::pb::SourceOp;

/// What the names of results of builds begin with.
pub(crate) const RESULT: &str = "slipway-result";
/// The secrets that repositories are asked with, unless a definition wants others.
const GIT_SECRETS: [(&str, &str); 2] =
    [("git.authtokensecret", "GIT_AUTH_TOKEN"), ("git.authheadersecret", "GIT_AUTH_HEADER")];
/// The agent for repositories.
const AGENT: &str = "default";

/// Files of a client's directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Local {
    /// What the client calls the directory.
    pub(crate) name: String,
    /// The session that has it, where that is another one.
    pub(crate) session: Option<String>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) follow: Vec<String>,
    /// Tells directories apart that have the same name.
    pub(crate) hint: String,
}

/// An image that no registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// A result of a build, by their names.
    Result { build: String, result: String },
    /// One of a client's layout.
    Layout {
        image: LayoutImage,
        /// The session that has it, where that is another one.
        session: Option<String>,
        platform: Platform,
    },
}

/// Attributes that have been looked at.
struct Attributes<'a> {
    operation: &'a Operation,
    rest: BTreeMap<&'a str, &'a str>,
}

impl<'a> Attributes<'a> {
    fn take(&mut self, name: &str) -> Option<&'a str> {
        self.rest.remove(name).filter(|value| !value.is_empty())
    }

    fn is_on(&mut self, name: &str) -> Result<bool, LlbError> {
        match self.take(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(wrong(self.operation, name, other, "true or false")),
        }
    }

    /// A list of texts, as JSON.
    fn list(&mut self, name: &str) -> Result<Vec<String>, LlbError> {
        let Some(text) = self.take(name) else { return Ok(Vec::new()) };
        // Go writes an empty list as `null`.
        let list: Option<Vec<String>> = serde_json::from_str(text)
            .map_err(|_| wrong(self.operation, name, text, "a list of texts as JSON"))?;
        Ok(list.unwrap_or_default())
    }

    fn number(&mut self, name: &str, expected: &'static str) -> Result<Option<u32>, LlbError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = match text.strip_prefix("0o").or_else(|| text.strip_prefix('0')) {
            Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8),
            _ => text.parse(),
        };
        number.map(Some).map_err(|_| wrong(self.operation, name, text, expected))
    }

    fn digest(&mut self, name: &str) -> Result<Option<Digest>, LlbError> {
        let text = self.take(name);
        let digest = text.map(|text| text.parse().map_err(|_| wrong(self.operation, name, text, "a digest")));
        digest.transpose()
    }

    /// Nothing may be left.
    fn end(self) -> Result<(), LlbError> {
        match self.rest.keys().next() {
            Some(name) => Err(unsupported(self.operation, "attribute", name)),
            None => Ok(()),
        }
    }
}

/// The vertex of a source.
pub(super) fn lower(
    lowering: &mut Lowering,
    operation: &Operation,
    source: &SourceOp,
) -> Result<VertexId, LlbError> {
    let rest = source.attrs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let attributes = Attributes { operation, rest };
    let no_scheme = || unsupported(operation, "source", &source.identifier);
    let (scheme, name) = source.identifier.split_once("://").ok_or_else(no_scheme)?;
    let op = match scheme {
        "docker-image" => image(lowering, name, attributes)?,
        "local" => local(lowering, name, attributes)?,
        "oci-layout" => layout(lowering, name, attributes)?,
        "git" => Op::Git(git(name, attributes)?),
        "http" | "https" => Op::Http(http(&source.identifier, attributes)?),
        RESULT => result(lowering, name, attributes)?,
        _ => return Err(no_scheme()),
    };
    Ok(lowering.add(op, Vec::new()))
}

fn image(lowering: &mut Lowering, name: &str, mut attributes: Attributes<'_>) -> Result<Op, LlbError> {
    let operation = attributes.operation;
    let not_a_name = || wrong(operation, "image", name, "the name of an image");
    let mut reference: Reference = name.parse().map_err(|_| not_a_name())?;
    if let Some(digest) = attributes.digest("image.checksum")? {
        match reference.digest() {
            Some(known) if *known != digest => {
                return Err(wrong(
                    operation,
                    "image.checksum",
                    &digest.to_string(),
                    "the digest of the name",
                ));
            }
            Some(_) => {}
            None => reference = format!("{name}@{digest}").parse().map_err(|_| not_a_name())?,
        }
    }
    // What the record of the image is for decides only when it is removed.
    attributes.take("image.recordtype");
    match attributes.take("image.resolvemode") {
        None | Some("default" | "local") => {}
        Some("pull") => drop(lowering.out.pulled.insert(reference.clone())),
        Some(other) => return Err(wrong(operation, "image.resolvemode", other, "default, pull or local")),
    }
    attributes.end()?;
    let platform = operation.op.platform.as_ref();
    let platform = platform.map_or_else(|| lowering.out.platform.clone(), of_message);
    Ok(Op::Image(ImageSource { reference, platform }))
}

fn local(lowering: &mut Lowering, name: &str, mut attributes: Attributes<'_>) -> Result<Op, LlbError> {
    let local = Local {
        name: name.to_owned(),
        session: attributes.take("local.session").map(str::to_owned),
        include: attributes.list("local.includepattern")?,
        exclude: attributes.list("local.excludepatterns")?,
        follow: attributes.list("local.followpaths")?,
        hint: attributes.take("local.sharedkeyhint").unwrap_or_default().to_owned(),
    };
    // Makes the same directory another operation for each client, which it is here anyway.
    attributes.take("local.unique");
    // How the client compares files is the client's own business.
    attributes.take("local.differ");
    attributes.end()?;
    let known = lowering.out.locals.iter().find(|(_, known)| *known == local);
    let context = match known {
        Some((context, _)) => context.clone(),
        None => {
            let context = format!("local-{}", lowering.out.locals.len());
            lowering.out.locals.push((context.clone(), local));
            context
        }
    };
    Ok(Op::Context(ContextSource { name: context }))
}

/// `git://HOST/PATH#REFERENCE:DIRECTORY`; the address itself is an attribute of newer clients.
fn git(name: &str, mut attributes: Attributes<'_>) -> Result<GitSource, LlbError> {
    let operation = attributes.operation;
    let (place, fragment) = name.split_once('#').unwrap_or((name, ""));
    let remote = attributes.take("git.fullurl").map_or_else(|| format!("https://{place}"), str::to_owned);
    let remote = remote.split('#').next().unwrap_or_default();
    let not_one =
        |_| wrong(operation, "git", &engine::operations::redacted(remote), "the URL of a repository");
    let mut source = of_repository(&format!("{remote}#{fragment}")).map_err(not_one)?.source;
    source.keep_git_dir = attributes.is_on("git.keepgitdir")?;
    source.submodules = !attributes.is_on("git.skipsubmodules")?;
    if let Some(checksum) = attributes.take("git.checksum") {
        let is_one = checksum.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !is_one || checksum.len() > COMMIT_DIGITS_MAX {
            return Err(wrong(operation, "git.checksum", checksum, "the name of a commit"));
        }
        source.checksum = Some(checksum.to_owned());
    }
    for (attribute, usual) in GIT_SECRETS {
        if let Some(other) = attributes.take(attribute).filter(|name| *name != usual) {
            return Err(wrong(operation, attribute, other, usual));
        }
    }
    if let Some(other) = attributes.take("git.mountsshsock").filter(|id| *id != AGENT) {
        return Err(wrong(operation, "git.mountsshsock", other, AGENT));
    }
    attributes.end()?;
    Ok(source)
}

/// Digits of a commit in a repository with SHA-256.
const COMMIT_DIGITS_MAX: usize = 64;

fn http(url: &str, mut attributes: Attributes<'_>) -> Result<HttpSource, LlbError> {
    let operation = attributes.operation;
    let filename = attributes.take("http.filename").map(str::to_owned);
    if filename.as_ref().is_some_and(|name| name.contains(['/', '\0']) || matches!(name.as_str(), "." | ".."))
    {
        let name = filename.unwrap_or_default();
        return Err(wrong(operation, "http.filename", &name, "the name of a file"));
    }
    let checksum = attributes.digest("http.checksum")?;
    let mode = attributes.number("http.perm", "permissions")?;
    let uid = attributes.number("http.uid", "a user id")?;
    let gid = attributes.number("http.gid", "a group id")?;
    attributes.end()?;
    let owner = (uid.is_some() || gid.is_some()).then(|| (uid.unwrap_or(0), gid.unwrap_or(0)));
    Ok(HttpSource { checksum, filename, mode, owner, ..HttpSource::new(url) })
}

/// An image of a layout of the client's: `NAME@DIGEST`, in the store of that name unless another one is named.
fn layout(lowering: &mut Lowering, name: &str, mut attributes: Attributes<'_>) -> Result<Op, LlbError> {
    let operation = attributes.operation;
    let not_one = |_| wrong(operation, "oci-layout", name, "NAME@DIGEST");
    let mut image = LayoutImage::parse(name).map_err(not_one)?;
    if let Some(store) = attributes.take("oci.store") {
        store.clone_into(&mut image.store);
    }
    let session = attributes.take("oci.session").map(str::to_owned);
    attributes.end()?;
    let platform = operation.op.platform.as_ref();
    let platform = platform.map_or_else(|| lowering.out.platform.clone(), of_message);
    let reference = unnamed(lowering, Unnamed::Layout { image, session, platform: platform.clone() });
    Ok(Op::Image(ImageSource { reference, platform }))
}

/// What the graph calls an image that no registry has.
fn unnamed(lowering: &mut Lowering, image: Unnamed) -> Reference {
    if let Some((reference, _)) = lowering.out.unnamed.iter().find(|(_, known)| *known == image) {
        return reference.clone();
    }
    // No registry can have this name, see RFC 2606, section 2.
    let reference = format!("{RESULT}.invalid/{}", lowering.out.unnamed.len());
    let reference: Reference = reference.parse().expect("a host and a number");
    lowering.out.unnamed.push((reference.clone(), image));
    reference
}

/// A result of a build that a client got from us.
fn result(lowering: &mut Lowering, name: &str, attributes: Attributes<'_>) -> Result<Op, LlbError> {
    let operation = attributes.operation;
    attributes.end()?;
    let (build, result) = name.split_once('/').ok_or_else(|| unsupported(operation, "source", name))?;
    let result = Unnamed::Result { build: build.to_owned(), result: result.to_owned() };
    let reference = unnamed(lowering, result);
    let platform = operation.op.platform.as_ref();
    let platform = platform.map_or_else(|| lowering.out.platform.clone(), of_message);
    Ok(Op::Image(ImageSource { reference, platform }))
}
