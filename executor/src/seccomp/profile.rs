//! Profiles in files, in Docker's format (moby/profiles, `seccomp.md` of the OCI runtime specification).
//!
//! The rules of a call are looked at in the order of the profile, and the first whose conditions hold decides. Names that
//! this machine has no call for are passed over, as runc does.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use serde::Deserialize;
use syscalls::Sysno;

use super::conditions::{Comparison, Condition};
use super::program::{Answer, Clause, Rule, compile};
use crate::capabilities::Capabilities;

/// Far above the 20 kB of Docker's own profile.
const PROFILE_BYTES_MAX: usize = 1 << 20;
/// `BPF_MAXINSNS` of the kernel.
const INSTRUCTIONS_MAX: usize = 4096;
/// What `SCMP_ACT_ERRNO` gives without a number.
const ERRNO_DEFAULT: u32 = libc::EPERM as u32;
/// The largest error number that a system call can return.
const ERRNO_MAX: u32 = 4095;
const ARGUMENTS: u32 = 6;
/// Rules of one call in all: more do not fit a program.
const CLAUSES_MAX: usize = INSTRUCTIONS_MAX;
/// Rules of all calls before equal ones are merged. Docker's own profile has some hundreds.
const CLAUSES_IN_ALL_MAX: usize = 1 << 16;

/// The word for this machine's calls.
#[cfg(target_arch = "x86_64")]
const ARCH_NAMES: [&str; 2] = ["amd64", "x86_64"];
#[cfg(target_arch = "aarch64")]
const ARCH_NAMES: [&str; 2] = ["arm64", "aarch64"];

/// What is wrong with a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no file of this format.
    #[error("it is no seccomp profile in Docker's format")]
    Json(#[from] serde_json::Error),
    /// More than any profile needs.
    #[error("it has more than {PROFILE_BYTES_MAX} bytes")]
    TooLarge,
    /// A word that means nothing here.
    #[error("`{word}` is no {what}")]
    Unknown {
        /// As it stands there.
        word: String,
        /// What should stand there.
        what: &'static str,
    },
    /// An argument that no call has.
    #[error("a system call has no argument {0}: they are numbered from 0 to 5")]
    Argument(u32),
    /// An error number beyond those of the kernel.
    #[error("{0} is no error number")]
    Errno(u32),
    /// More rules than any program can have.
    #[error("it has more than {CLAUSES_MAX} rules for one system call, or {CLAUSES_IN_ALL_MAX} in all")]
    TooManyRules,
    /// The kernel takes no program of that length.
    #[error("its program has {0} instructions, the kernel takes {INSTRUCTIONS_MAX}")]
    TooLong(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// Where an entry counts.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The program of a profile for a container with these capabilities.
///
/// # Errors
///
/// When it cannot mean what it says: an unknown action, comparison or argument.
pub fn compile_profile(json: &str, capabilities: Capabilities) -> Result<Vec<u64>, ProfileError> {
    if json.len() > PROFILE_BYTES_MAX {
        return Err(ProfileError::TooLarge);
    }
    let profile: Profile = serde_json::from_str(json)?;
    let default = answer(&profile.default_action, profile.default_errno_ret)?;
    check_flags(profile.flags.as_deref().unwrap_or_default())?;
    let mut known_max = 0;
    let mut clauses_in_all = 0;
    let mut clauses: BTreeMap<u32, Vec<Clause>> = BTreeMap::new();
    for entry in profile.syscalls.unwrap_or_default() {
        let answer = answer(&entry.action, entry.errno_ret)?;
        let alternatives = alternatives(entry.args.as_deref().unwrap_or_default())?;
        let is_included = entry.includes.as_ref().is_none_or(|filter| filter.holds(capabilities));
        let is_excluded = entry.excludes.as_ref().is_some_and(|filter| filter.excludes(capabilities));
        let names = entry.names.iter().flatten().chain(Some(&entry.name).filter(|name| !name.is_empty()));
        for number in names.filter_map(|name| Sysno::from_str(name).ok()) {
            let number = u32::try_from(number.id()).expect("numbers of calls are positive");
            known_max = known_max.max(number);
            if !is_included || is_excluded {
                continue;
            }
            let rules = clauses.entry(number).or_default();
            rules.extend(
                alternatives.iter().map(|conditions| Clause { conditions: conditions.clone(), answer }),
            );
            clauses_in_all += alternatives.len();
            if rules.len() > CLAUSES_MAX || clauses_in_all > CLAUSES_IN_ALL_MAX {
                return Err(ProfileError::TooManyRules);
            }
        }
    }
    let rules: BTreeMap<u32, Rule> =
        clauses.into_iter().map(|(number, clauses)| (number, rule(clauses, default))).collect();
    // As runc: what is newer than the profile is not there, so that a C library falls back to what is.
    let unknown = match default {
        Answer::Allow | Answer::Log => default,
        _ => Answer::Refuse(libc::ENOSYS),
    };
    // Calls of another ABI have other numbers, of which a profile for this one says nothing.
    let foreign = Answer::Refuse(libc::EPERM);
    let program = compile(&rules, known_max, default, unknown, foreign);
    if program.len() > INSTRUCTIONS_MAX { Err(ProfileError::TooLong(program.len())) } else { Ok(program) }
}

/// Flags of seccomp(2): those that change nothing for a process with one thread.
fn check_flags(flags: &[String]) -> Result<(), ProfileError> {
    match flags.iter().find(|flag| *flag != "SECCOMP_FILTER_FLAG_TSYNC") {
        None => Ok(()),
        Some(flag) => {
            Err(ProfileError::Unknown { word: flag.clone(), what: "flag that a container can have" })
        }
    }
}

fn rule(clauses: Vec<Clause>, otherwise: Answer) -> Rule {
    match clauses.first() {
        Some(first) if first.conditions.is_empty() => Rule::Always(first.answer),
        _ => Rule::Clauses { clauses, otherwise },
    }
}

/// Conditions on different arguments hold together, those on the same one each for itself, as in runc.
fn alternatives(arguments: &[Argument]) -> Result<Vec<Vec<Condition>>, ProfileError> {
    let conditions = arguments.iter().map(Argument::condition).collect::<Result<Vec<_>, _>>()?;
    let mut indexes: Vec<u32> = arguments.iter().map(|argument| argument.index).collect();
    indexes.sort_unstable();
    let is_repeated = indexes.windows(2).any(|pair| pair[0] == pair[1]);
    Ok(if is_repeated { conditions.into_iter().map(|one| vec![one]).collect() } else { vec![conditions] })
}

impl Argument {
    fn condition(&self) -> Result<Condition, ProfileError> {
        if self.index >= ARGUMENTS {
            return Err(ProfileError::Argument(self.index));
        }
        let (comparison, value) = match self.op.as_str() {
            "SCMP_CMP_EQ" => (Comparison::Equal, self.value),
            "SCMP_CMP_NE" => (Comparison::NotEqual, self.value),
            "SCMP_CMP_LT" => (Comparison::Less, self.value),
            "SCMP_CMP_LE" => (Comparison::AtMost, self.value),
            "SCMP_CMP_GT" => (Comparison::Greater, self.value),
            "SCMP_CMP_GE" => (Comparison::AtLeast, self.value),
            "SCMP_CMP_MASKED_EQ" => (Comparison::MaskedEqual { mask: self.value }, self.value_two),
            _ => {
                return Err(ProfileError::Unknown {
                    word: self.op.clone(),
                    what: "comparison (`SCMP_CMP_EQ`, ...)",
                });
            }
        };
        Ok(Condition { index: self.index, comparison, value })
    }
}

fn answer(action: &str, errno: Option<u32>) -> Result<Answer, ProfileError> {
    Ok(match action {
        "SCMP_ACT_ALLOW" => Answer::Allow,
        "SCMP_ACT_ERRNO" => match errno.unwrap_or(ERRNO_DEFAULT) {
            errno @ 0..=ERRNO_MAX => Answer::Refuse(errno as i32),
            errno => return Err(ProfileError::Errno(errno)),
        },
        "SCMP_ACT_LOG" => Answer::Log,
        "SCMP_ACT_TRAP" => Answer::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Answer::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Answer::KillProcess,
        _ => {
            return Err(ProfileError::Unknown {
                word: action.to_owned(),
                what: "action that a container can have",
            });
        }
    })
}

impl Filter {
    /// As `includes`: all that it names is the case.
    fn holds(&self, capabilities: Capabilities) -> bool {
        let has_all = |names: &Vec<String>| names.iter().all(|name| capabilities.has(name));
        self.caps.as_ref().is_none_or(has_all)
            && self.arches.as_ref().is_none_or(|arches| arches.is_empty() || is_here(arches))
            && self.min_kernel.as_ref().is_none_or(|version| is_kernel(version))
    }

    /// As `excludes`: something that it names is the case.
    fn excludes(&self, capabilities: Capabilities) -> bool {
        let has_one = |names: &Vec<String>| names.iter().any(|name| capabilities.has(name));
        self.caps.as_ref().is_some_and(has_one)
            || self.arches.as_ref().is_some_and(|arches| is_here(arches))
            || self.min_kernel.as_ref().is_some_and(|version| is_kernel(version))
    }
}

fn is_here(arches: &[String]) -> bool {
    arches.iter().any(|arch| ARCH_NAMES.contains(&arch.as_str()))
}

/// Whether the kernel is this version, `MAJOR.MINOR`, or later.
fn is_kernel(version: &str) -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    numbers(&release) >= numbers(version)
}

fn numbers(version: &str) -> (u32, u32) {
    let mut parts =
        version.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(json: &str) -> Result<Vec<u64>, ProfileError> {
        compile_profile(json, Capabilities::default())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = [
            ("", "it is no seccomp profile in Docker's format"),
            ("{}", "it is no seccomp profile in Docker's format"),
            (r#"{"defaultAction":"ALLOW"}"#, "`ALLOW` is no action that a container can have"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
                "a system call has no argument 6: they are numbered from 0 to 5",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":0,"op":"=="}]}]}"#,
                "`==` is no comparison (`SCMP_CMP_EQ`, ...)",
            ),
            (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":9999}"#, "9999 is no error number"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]}"#,
                "`SECCOMP_FILTER_FLAG_LOG` is no flag that a container can have",
            ),
        ];
        for (json, message) in wrong {
            assert_eq!(program(json).unwrap_err().to_string(), message, "{json}");
        }
    }

    #[test]
    fn a_profile_cannot_take_all_memory() {
        let argument = r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"}"#;
        let entry = |names: &[&str], arguments: usize| {
            let args = vec![argument; arguments].join(",");
            let names = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ERRNO","args":[{args}]}}]}}"#
            )
        };
        let many = program(&entry(&["read"], CLAUSES_MAX + 1)).unwrap_err();
        assert!(matches!(many, ProfileError::TooManyRules), "{many}");
        let many = program(&entry(&vec!["read"; 200], 1000)).unwrap_err();
        assert!(matches!(many, ProfileError::TooManyRules), "{many}");
        let long = program(&entry(&["read"], CLAUSES_MAX / 2)).unwrap_err();
        assert!(matches!(long, ProfileError::TooLong(_)), "{long}");
    }

    #[test]
    fn versions_are_numbers() {
        assert!(is_kernel("4.8") && is_kernel("5.10") && !is_kernel("99.0"));
        assert_eq!(numbers("6.1.0-13-amd64"), (6, 1));
    }

    #[test]
    fn capabilities_and_machines_decide_which_entries_count() {
        let entry = |filter: &str| {
            let json = format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["mkdir","mkdirat","no_such_call"],"action":"SCMP_ACT_ERRNO",{filter}}}]}}"#
            );
            program(&json).unwrap().len()
        };
        let counts = entry(r#""includes":{"caps":["CAP_CHOWN"],"minKernel":"4.8"}"#);
        assert_eq!(counts, entry(r#""excludes":{"arches":["s390x"],"caps":["CAP_SYS_ADMIN"]}"#));
        for filter in [
            r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#,
            r#""includes":{"arches":["s390x"]}"#,
            r#""includes":{"minKernel":"99.1"}"#,
            r#""excludes":{"caps":["CAP_CHOWN"]}"#,
        ] {
            assert!(entry(filter) < counts, "{filter}");
        }
    }
}
