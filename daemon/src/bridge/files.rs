//! Looks into results: `ReadFile`, `ReadDir`, `StatFile`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, openat2, statat};
use tonic::Status;

use super::super::session::describe;
use crate::Daemon;
use crate::builds::Build;
use crate::failure::chain;
use crate::proto::Stat;
use crate::proto::bridge::{
    ReadDirRequest, ReadDirResponse, ReadFileRequest, ReadFileResponse, StatFileRequest, StatFileResponse,
};
use crate::session::files::joined;
use crate::wire::MESSAGE_BYTES_MAX;

/// What of a file fits into a message, with what is beside it.
const FILE_BYTES_MAX: u64 = MESSAGE_BYTES_MAX as u64 - 1024;

pub(super) async fn read_file(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: ReadFileRequest,
) -> Result<ReadFileResponse, Status> {
    let ReadFileRequest { r#ref, file_path, range, .. } = request;
    let data = look(&daemon, &build, &r#ref, &file_path, move |root, path| {
        let mut file = File::from(open(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let range = range.unwrap_or_default();
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        file.seek(SeekFrom::Start(number(range.offset)))?;
        let wanted = if range.length > 0 { number(range.length) } else { u64::MAX };
        let mut data = Vec::new();
        file.take(wanted.min(FILE_BYTES_MAX + 1)).read_to_end(&mut data)?;
        match data.len() as u64 > FILE_BYTES_MAX {
            true => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {FILE_BYTES_MAX} bytes"),
            )),
            false => Ok(data),
        }
    });
    Ok(ReadFileResponse { data: data.await? })
}

pub(super) async fn read_directory(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: ReadDirRequest,
) -> Result<ReadDirResponse, Status> {
    let ReadDirRequest { r#ref, dir_path, include_pattern, .. } = request;
    let entries = look(&daemon, &build, &r#ref, &dir_path, move |root, path| {
        let directory = open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let is_wanted = include_pattern.is_empty() || matches(&include_pattern, &name);
            if !matches!(name.as_str(), "." | "..") && is_wanted {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.iter().map(|name| stat(directory.as_fd(), name)).collect()
    });
    Ok(ReadDirResponse { entries: entries.await? })
}

pub(super) async fn stat_file(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: StatFileRequest,
) -> Result<StatFileResponse, Status> {
    let StatFileRequest { r#ref, path, .. } = request;
    let found = look(&daemon, &build, &r#ref, &path, |root, path| {
        let path = path.trim_end_matches('/');
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "." | "..") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the last name of a path is one of a file",
            ));
        }
        if name.is_empty() {
            let found = statat(root, ".", AtFlags::SYMLINK_NOFOLLOW)?;
            return describe(root, ".", ".", &found);
        }
        let parent = if parent.is_empty() { "/" } else { parent };
        stat(open(root, parent, OFlags::PATH | OFlags::DIRECTORY)?.as_fd(), name)
    });
    Ok(StatFileResponse { stat: Some(found.await?) })
}

/// Looks into the files of a result.
async fn look<T: Send + 'static>(
    daemon: &Daemon,
    build: &Build,
    name: &str,
    path: &str,
    look: impl Fn(BorrowedFd<'_>, &str) -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let result = build.bridge.get(name)?;
    let (engine, image) = result.image(daemon, build).await?;
    let (engine, path) = (engine.clone(), path.to_owned());
    let looked = crate::blocking::spawn_blocking(move || {
        let mut found = None;
        let opened = engine.with_files(&image, &mut |root| {
            found = Some(look(root, &path).map_err(|error| failed(&path, &error)));
            Ok(())
        });
        opened.map_err(|error| Status::internal(chain(&error)))?;
        found.unwrap_or_else(|| Err(Status::internal("the files of the result were not shown")))
    });
    joined(looked).await?
}

fn failed(path: &str, error: &io::Error) -> Status {
    let message = format!("{path}: {error}");
    match error.kind() {
        io::ErrorKind::NotFound => Status::not_found(format!("open {path}: no such file or directory")),
        io::ErrorKind::FileTooLarge => Status::resource_exhausted(message),
        _ => Status::unknown(message),
    }
}

/// Opens beneath the root, as in the container.
fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { "/" } else { path };
    Ok(openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)?)
}

fn stat(directory: BorrowedFd<'_>, name: &str) -> io::Result<Stat> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    describe(directory, name, name, &found)
}

/// Go's `path.Match` of a name, without sets of characters: `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[at] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((begin, taken)) => {
                    star = Some((begin, taken + 1));
                    (at, of) = (taken + 1, begin + 1);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("?", "ab", false),
            ("*.txt", "x.txt", true),
            ("*a*b*", "xxaxxbxx", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
