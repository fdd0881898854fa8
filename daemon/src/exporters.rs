//! Where the result of a build goes: the store, registries, or back to the client.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::images::{ArchiveKind, ImageError, ImageForm, ImageSet, OnTransfer, PushAs, PushRequest, Stage};
use engine::{Archive, ArchivePlace, Engine, Output, PlatformSplit};
use image::{Descriptor, ImageId, Reference};
use serde_json::json;
use tonic::Status;

use crate::attributes::invalid;
use crate::content::EXPORT;
use crate::failure::chain;
use crate::feed::{Feed, OwnStep};
use crate::form::{form, is_on};
use crate::layouts;
use crate::proto::control::Exporter;
use crate::session::content::ClientStore;
use crate::session::files::joined;
use crate::session::output::{ClientOutput, SendError};
use crate::session::{KeptDirectories, Session, layout};

/// Exporters of one build.
const EXPORTERS_MAX: usize = 64;

/// One place where the result goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Export {
    /// Into the store, and to the registries in its names.
    Image { names: Vec<Reference>, push: Option<PushAs>, form: ImageForm },
    /// To the client, as an archive.
    Archive { kind: ArchiveKind, names: Vec<Reference>, form: ImageForm },
    /// To the client, as the blobs of an OCI layout that it has.
    Layout { names: Vec<Reference>, form: ImageForm },
    /// To the client, as a tar of its files.
    Tar,
    /// To the client, as files.
    Files,
}

/// What a client is told about the result: BuildKit's names and values.
pub(crate) type Facts = HashMap<String, String>;

/// Reads what a client wants.
pub(crate) fn read(exporters: &[Exporter]) -> Result<Vec<Export>, Status> {
    if exporters.len() > EXPORTERS_MAX {
        return Err(Status::invalid_argument(format!("more than {EXPORTERS_MAX} exporters")));
    }
    exporters.iter().map(read_one).collect()
}

/// What images and archives have beside their names: see [`form`].
const OF_FORM: [&str; 5] =
    ["compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp"];
/// Of images alone. `unpack` and those of [`SO_ANYWAY`] ask for what is so anyway.
const OF_IMAGES: [&str; 6] = ["name", "prefer-nondist-layers", "push", "push-by-digest", "store", "unpack"];
/// What cannot be switched off.
const SO_ANYWAY: [&str; 2] = ["prefer-nondist-layers", "store"];
const OF_ARCHIVES: [&str; 3] = ["name", "tar", DEST];
/// Where it goes on the client, which is the client's own business.
const DEST: &str = "dest";

/// Refuses what would be left out.
fn refuse_unknown(kind: &str, attributes: &HashMap<String, String>) -> Result<(), Status> {
    let own: &[&str] = match kind {
        "image" | "moby" => &OF_IMAGES,
        "oci" | "docker" => &OF_ARCHIVES,
        "tar" | "local" => &[DEST],
        _ => return Ok(()),
    };
    let has_form = !matches!(kind, "tar" | "local");
    let is_of_form = |name: &str| has_form && (OF_FORM.contains(&name) || name.starts_with("annotation"));
    let unknown = attributes.keys().filter(|name| !own.contains(&name.as_str()) && !is_of_form(name)).min();
    let mut refused = unknown.map(String::as_str);
    for name in SO_ANYWAY.into_iter().filter(|name| attributes.contains_key(*name)) {
        if !is_on(attributes, name)? {
            refused = refused.or(Some(name));
        }
    }
    match refused {
        Some(name) => Err(Status::unimplemented(format!("`{name}` of `type={kind}` is not supported"))),
        None => Ok(()),
    }
}

fn read_one(exporter: &Exporter) -> Result<Export, Status> {
    let attributes = &exporter.attrs;
    refuse_unknown(&exporter.r#type, attributes)?;
    let form = || form(attributes);
    match exporter.r#type.as_str() {
        "image" | "moby" => {
            let push = if is_on(attributes, "push")? { Some(PushAs::Tag) } else { None };
            let by_digest = is_on(attributes, "push-by-digest")?;
            let push = push.map(|tag| if by_digest { PushAs::Digest } else { tag });
            Ok(Export::Image { names: names(attributes)?, push, form: form()? })
        }
        kind @ ("oci" | "docker") => {
            if attributes.contains_key("tar") && !is_on(attributes, "tar")? {
                return Ok(Export::Layout { names: names(attributes)?, form: form()? });
            }
            let kind = if kind == "oci" { ArchiveKind::Oci } else { ArchiveKind::Docker };
            Ok(Export::Archive { kind, names: names(attributes)?, form: form()? })
        }
        "tar" => Ok(Export::Tar),
        "local" => Ok(Export::Files),
        other => Err(Status::not_found(format!("exporter `{other}` could not be found"))),
    }
}

fn names(attributes: &HashMap<String, String>) -> Result<Vec<Reference>, Status> {
    let all = attributes.get("name").map(String::as_str).unwrap_or_default().split(',');
    let all = all.map(str::trim).filter(|name| !name.is_empty());
    all.map(|name| name.parse().map_err(|_| invalid("name", name, "the name of an image"))).collect()
}

/// The names that the image has in the store.
pub(crate) fn stored_names(exports: &[Export]) -> Vec<Reference> {
    let names = |export: &Export| match export {
        Export::Image { names, .. } => names.clone(),
        Export::Archive { .. } | Export::Layout { .. } | Export::Tar | Export::Files => Vec::new(),
    };
    exports.iter().flat_map(names).collect()
}

/// Whether the image is to stay in the store, with a name or without.
pub(crate) fn keep_image(exports: &[Export]) -> bool {
    exports.iter().any(|export| matches!(export, Export::Image { .. }))
}

/// Whether some export is of files alone.
pub(crate) fn are_files(exports: &[Export]) -> bool {
    exports.iter().any(|export| matches!(export, Export::Tar | Export::Files))
}

/// Whether some export has documents around the image, in which attestations can be.
pub(crate) fn are_described(exports: &[Export]) -> bool {
    exports.iter().any(|export| match export {
        Export::Image { push, .. } => push.is_some(),
        Export::Archive { .. } | Export::Layout { .. } => true,
        Export::Tar | Export::Files => false,
    })
}

/// Sends a result everywhere.
pub(crate) struct Exporting<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) session: Option<&'a Arc<Session>>,
    pub(crate) feed: &'a Arc<Feed>,
    pub(crate) kept: &'a Arc<KeptDirectories>,
    /// The image that a name alone means.
    pub(crate) image: ImageId,
    /// All images, one for each platform.
    pub(crate) set: ImageSet,
}

impl Exporting<'_> {
    /// To all places, one after the other; what there is to know about the result.
    pub(crate) async fn run(&self, exports: &[Export]) -> Result<Facts, Status> {
        let mut facts = Facts::new();
        facts.insert("containerimage.config.digest".to_owned(), self.image.to_string());
        for (exporter, export) in exports.iter().enumerate() {
            match export {
                Export::Image { names, push, form } => self.image(names, *push, form, &mut facts).await?,
                Export::Archive { kind, names, form } => {
                    self.archive(exporter, (*kind, names, form), &mut facts).await?;
                }
                Export::Layout { names, form } => self.layout((names, form), &mut facts).await?,
                Export::Tar => self.tar(exporter, &facts).await?,
                Export::Files => self.files(exporter, &facts).await?,
            }
        }
        Ok(facts)
    }

    async fn image(
        &self,
        names: &[Reference],
        push: Option<PushAs>,
        form: &ImageForm,
        facts: &mut Facts,
    ) -> Result<(), Status> {
        // It is known here by its config, as in Docker's own store.
        facts.entry("containerimage.digest".to_owned()).or_insert_with(|| self.image.to_string());
        tell_names(names, facts);
        let Some(push_as) = push else { return Ok(()) };
        if names.is_empty() {
            return Err(Status::invalid_argument("`push=true` needs a name"));
        }
        for reference in names {
            let step = Arc::new(self.feed.begin(&format!("pushing {}", reference.familiar())));
            let hears = step.clone();
            let on_transfer: OnTransfer = Arc::new(move |transfer| {
                if let Stage::Pushing { current, total } = transfer.stage {
                    hears.progressed(&format!("pushing {}", transfer.layer), current, Some(total));
                }
            });
            let request = PushRequest { reference: reference.clone(), push_as, form: form.clone() };
            let pushed = self.engine.push_set(&request, &self.set, &on_transfer).await;
            step.end(pushed.as_ref().err().map(|error| chain(error)));
            tell_manifest(&pushed.map_err(|error| failed(&error))?.manifest, facts);
        }
        Ok(())
    }

    fn client(&self) -> Result<&Arc<Session>, Status> {
        let session = self.session.filter(|session| session.takes_output());
        session.ok_or_else(|| Status::failed_precondition("the client takes no output: it names no `dest`"))
    }

    async fn archive(
        &self,
        exporter: usize,
        (kind, names, form): (ArchiveKind, &[Reference], &ImageForm),
        facts: &mut Facts,
    ) -> Result<(), Status> {
        let session = self.client()?;
        tell_names(names, facts);
        let told = told(facts);
        let output = ClientOutput { exporter, facts: &told };
        let step = self.feed.begin(match kind {
            ArchiveKind::Oci => "exporting to oci image format",
            ArchiveKind::Docker => "exporting to docker image format",
        });
        let (engine, set, names, form) =
            (self.engine.clone(), self.set.clone(), names.to_vec(), form.clone());
        let (tell, told) = std::sync::mpsc::channel();
        let write = move |to: &mut dyn Write| {
            let manifest = engine.write_archive(&set, &names, kind, &form, to, &|_, _, _| ())?;
            // Whoever would listen waits for it.
            let _ = tell.send(manifest);
            Ok::<_, ImageError>(())
        };
        finish(&step, session.send_bytes(&output, write).await)?;
        if let Ok(manifest) = told.try_recv() {
            tell_manifest(&manifest, facts);
        }
        Ok(())
    }

    /// Written here first, and then what of it the client does not have.
    async fn layout(
        &self,
        (names, form): (&[Reference], &ImageForm),
        facts: &mut Facts,
    ) -> Result<(), Status> {
        let without = || Status::failed_precondition("the client takes no blobs: it names no directory");
        let session = self.session.ok_or_else(without)?;
        let store = ClientStore::new(session, EXPORT)?;
        let directory = layouts::kept(session, self.kept, EXPORT).await?;
        tell_names(names, facts);
        let step = self.feed.begin("exporting to oci image format");
        let path = directory.path().to_owned();
        let (engine, set, names) = (self.engine.clone(), self.set.clone(), names.to_vec());
        let archive =
            Archive { to: ArchivePlace::Directory(path.clone()), names: names.clone(), form: form.clone() };
        let written = crate::blocking::spawn_blocking(move || {
            layout::clear(&path)?;
            let written = engine.export_image(&set, &names, &Output::Oci(archive), &|_, _, _| ());
            written.map_err(|error| failed(&error))
        });
        let sent = match joined(written).await.flatten() {
            Ok(()) => layout::send(&store, directory.path()).await,
            Err(status) => Err(status),
        };
        // What the client has takes no room here.
        let path = directory.path().to_owned();
        joined(crate::blocking::spawn_blocking(move || layout::clear(&path))).await??;
        step.end(sent.as_ref().err().map(|status| status.message().to_owned()));
        tell_manifest(&sent?, facts);
        Ok(())
    }

    async fn tar(&self, exporter: usize, facts: &Facts) -> Result<(), Status> {
        let session = self.client()?;
        let told = told(facts);
        let output = ClientOutput { exporter, facts: &told };
        let step = self.feed.begin("exporting to client tarball");
        let (engine, set) = (self.engine.clone(), self.set.clone());
        let write =
            move |to: &mut dyn Write| engine.write_tar(&set, PlatformSplit::default(), to, &|_, _, _| ());
        finish(&step, session.send_bytes(&output, write).await)
    }

    async fn files(&self, exporter: usize, facts: &Facts) -> Result<(), Status> {
        let session = self.client()?;
        if self.set.members.len() > 1 {
            return Err(Status::unimplemented(
                "`type=local` is not supported for several platforms: take `type=tar`",
            ));
        }
        let told = told(facts);
        let output = ClientOutput { exporter, facts: &told };
        let step = self.feed.begin("exporting to client directory");
        let (engine, image) = (self.engine.clone(), self.image);
        finish(&step, session.send_files(&output, move |look| engine.with_files(&image, look)).await)
    }
}

fn finish(step: &OwnStep, sent: Result<(), SendError<ImageError>>) -> Result<(), Status> {
    let status = match sent {
        Ok(()) => None,
        Err(SendError::Client(status)) => Some(status),
        Err(SendError::Made(error)) => Some(failed(&error)),
    };
    step.end(status.as_ref().map(|status| status.message().to_owned()));
    status.map_or(Ok(()), Err)
}

fn failed(error: &ImageError) -> Status {
    Status::unknown(chain(error))
}

fn told(facts: &Facts) -> Vec<(String, String)> {
    facts.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn tell_names(names: &[Reference], facts: &mut Facts) {
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        facts.insert("image.name".to_owned(), names.join(","));
    }
}

fn tell_manifest(manifest: &Descriptor, facts: &mut Facts) {
    let (digest, size) = (manifest.digest.to_string(), manifest.size_bytes);
    let descriptor = json!({ "mediaType": manifest.media_type, "digest": digest, "size": size });
    facts.insert("containerimage.digest".to_owned(), digest);
    facts.insert("containerimage.descriptor".to_owned(), STANDARD.encode(descriptor.to_string()));
}

#[cfg(test)]
mod tests {
    use engine::images::{Compression, Existing};

    use super::*;

    fn exporter(kind: &str, attributes: &[(&str, &str)]) -> Exporter {
        let attrs = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Exporter { r#type: kind.to_owned(), attrs: attrs.collect() }
    }

    #[test]
    fn exporters_are_read_as_clients_write_them() {
        let read = |kind: &str, attributes: &[(&str, &str)]| read_one(&exporter(kind, attributes)).unwrap();
        let image = read("image", &[("name", "a,b:1"), ("push", "true"), ("push-by-digest", "1")]);
        let Export::Image { names, push, .. } = image else { panic!("it is an image") };
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["docker.io/library/a:latest", "docker.io/library/b:1"]);
        assert_eq!(push, Some(PushAs::Digest));
        let Export::Archive { kind, form, .. } = read(
            "oci",
            &[
                ("compression", "zstd"),
                ("compression-level", "9"),
                ("force-compression", ""),
                ("annotation.k", "v"),
            ],
        ) else {
            panic!("it is an archive")
        };
        assert_eq!(kind, ArchiveKind::Oci);
        assert_eq!(form.layers.compression, Some(Compression::Zstd { level: Some(9) }));
        assert_eq!(form.layers.existing, Existing::Recompress);
        assert_eq!(form.annotations.0[0].value, "v");
        assert!(matches!(read("oci", &[("tar", "false")]), Export::Layout { .. }));
        assert_eq!(read("tar", &[]), Export::Tar);
        assert_eq!(read("local", &[("dest", "x")]), Export::Files);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (kind, attributes, expected) in [
            ("zip", vec![], "exporter `zip` could not be found"),
            ("oci", vec![("tar", "maybe")], "invalid value `maybe` of `tar`, expected true or false"),
            (
                "image",
                vec![("registry.insecure", "true")],
                "`registry.insecure` of `type=image` is not supported",
            ),
            ("image", vec![("store", "false")], "`store` of `type=image` is not supported"),
            ("local", vec![("platform-split", "false")], "`platform-split` of `type=local` is not supported"),
            (
                "oci",
                vec![("oci-mediatypes", "maybe")],
                "invalid value `maybe` of `oci-mediatypes`, expected true or false",
            ),
            ("image", vec![("push", "maybe")], "invalid value `maybe` of `push`, expected true or false"),
            ("image", vec![("name", "A B")], "invalid value `A B` of `name`, expected the name of an image"),
            (
                "oci",
                vec![("compression", "estargz")],
                "invalid value `estargz` of `compression`, expected gzip, zstd or uncompressed",
            ),
            (
                "oci",
                vec![("compression-level", "99")],
                "invalid value `99` of `compression-level`, expected 0 to 12",
            ),
        ] {
            assert_eq!(read_one(&exporter(kind, &attributes)).unwrap_err().message(), expected);
        }
    }
}
