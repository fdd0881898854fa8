//! A power cut at any instant: what was reported as done is there, and the next build is right.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Rack;
use super::census::Census;
use super::disk::{Disk, Journal, quietly};
use super::subject::{Deed, patiently, start};
use crate::error::Error;

/// Where the kernel tells its boot id; a file of ours lies over it.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Latest instant of a cut, after the beginning of a command.
const CUT_WITHIN: Duration = Duration::from_millis(900);
/// Rounds on one file system.
const ROUNDS_PER_DISK: u64 = 25;

pub(crate) fn run(rack: &mut Rack<'_>, rounds_max: u64) -> Result<(), Error> {
    let directory = rack.subject.store().parent().expect("a store is in a directory").to_owned();
    let boot_id = directory.join("boot_id");
    let mut rounds = 0;
    while rack.goes_on(rounds, rounds_max) {
        let disk = Disk::new(&directory)?;
        boot(rack, &boot_id)?;
        rack.subject.move_store(disk.root().join("store"))?;
        for _ in 0..ROUNDS_PER_DISK {
            if rack.goes_on(rounds, rounds_max) {
                round(rack, &disk, &boot_id, rounds)?;
                rounds += 1;
            }
        }
        disk.unmount()?;
        if !disk.is_sound() {
            rack.report.finding("e2fsck is not content with the disk".to_owned());
        }
        quietly(Command::new("umount").arg(BOOT_ID))?;
    }
    Ok(())
}

fn round(rack: &mut Rack<'_>, disk: &Disk, boot_id: &PathBuf, round: u64) -> Result<(), Error> {
    if rack.random.below(2) == 0 {
        rack.subject.forget()?;
    }
    let deed = *rack.random.one_of(&Deed::ALL);
    let journal = *rack.random.one_of(&[Journal::Flushed, Journal::Lost, Journal::Lost]);
    let promised = promise(rack, round)?;
    let before = Census::take();
    let mut child = start(&mut rack.subject.deed(deed))?;
    std::thread::sleep(rack.random.within(CUT_WITHIN));
    disk.cut(journal)?;
    let _ = child.kill();
    let _ = child.wait();
    if let Err(left) = before.wait() {
        rack.report.finding(format!("power cut in {deed:?}, round {round}: {left}"));
    }
    disk.unmount()?;
    disk.mount()?;
    reboot(rack, boot_id)?;
    if let Err(problem) = kept(rack, &promised).and_then(|()| rack.subject.examine()) {
        rack.report.finding(format!("power cut ({journal:?}) in {deed:?}, round {round}: {problem}"));
    }
    rack.report.round(format!("power cut in {deed:?}"));
    Ok(())
}

/// An image whose import was reported as done; its name.
fn promise(rack: &Rack<'_>, round: u64) -> Result<String, Error> {
    let name = format!("promised{round}");
    quietly(&mut rack.subject.command(&["import", "--message", &name, "base.tar", &name]))?;
    Ok(name)
}

/// It is there, and runs.
fn kept(rack: &Rack<'_>, name: &str) -> Result<(), String> {
    let output =
        patiently(&mut rack.subject.command(&["run", "--rm", "--pull=never", name, "echo", "kept"]))?;
    let removed = patiently(&mut rack.subject.command(&["rmi", name]))?;
    if output.stdout == b"kept\n" && removed.status.success() {
        return Ok(());
    }
    Err(format!("an image is lost that was reported as done: {}", super::subject::tail(&output.stderr)))
}

/// Gives these namespaces a boot id of their own.
fn boot(rack: &mut Rack<'_>, boot_id: &PathBuf) -> Result<(), Error> {
    reboot(rack, boot_id)?;
    quietly(Command::new("mount").arg("--bind").arg(boot_id).arg(BOOT_ID))
}

/// Changes it: the file stays, since it is mounted.
fn reboot(rack: &mut Rack<'_>, boot_id: &PathBuf) -> Result<(), Error> {
    fs::write(boot_id, rack.random.boot_id()).map_err(|source| Error::File { path: boot_id.clone(), source })
}
