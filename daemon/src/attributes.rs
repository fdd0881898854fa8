//! The attributes of `dockerfile.v0`: what clients say about a build, as text by name.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::str::FromStr;

use engine::{HOST_GATEWAY, Network, NoCache, PullPolicy, Resources, Surroundings, Swap, Ulimit};
use image::Platform;
use tonic::Status;

/// The build argument that says what steps call the machine.
const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";

/// Attributes are read from here; those that nobody knows say nothing, as in BuildKit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a HashMap<String, String>);

/// A place that a named context comes from, as written.
pub(crate) struct ContextAttribute<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

impl<'a> Attributes<'a> {
    /// The value of an attribute that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn or(&self, name: &str, default: &'a str) -> &'a str {
        self.get(name).unwrap_or(default)
    }

    /// All attributes whose name begins so, by the rest of their names.
    pub(crate) fn with_prefix(&self, prefix: &str) -> BTreeMap<&'a str, &'a str> {
        let all = self.0.iter();
        all.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.as_str()))).collect()
    }

    fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, text, expected))
    }

    /// The Dockerfile, in its directory.
    pub(crate) fn filename(&self) -> &'a str {
        self.or("filename", "Dockerfile")
    }

    /// The client's directory that the Dockerfile is in.
    pub(crate) fn dockerfile_directory(&self) -> &'a str {
        self.or("dockerfilekey", "dockerfile")
    }

    /// Whether the client has the Dockerfile, wherever the context is.
    pub(crate) fn names_dockerfile_directory(&self) -> bool {
        self.get("dockerfilekey").is_some()
    }

    /// The client's directory that is the context.
    pub(crate) fn context_directory(&self) -> &'a str {
        self.or("contextkey", "context")
    }

    /// The session that has a directory of a client, when it is another one.
    pub(crate) fn session_of(&self, directory: &str) -> Option<&'a str> {
        self.get(&format!("local-sessionid:{directory}"))
    }

    pub(crate) fn target(&self) -> Option<String> {
        self.get("target").map(str::to_owned)
    }

    /// The platforms of the build, each once; none is ours.
    pub(crate) fn platforms(&self) -> Result<Vec<Platform>, Status> {
        let mut platforms = Vec::new();
        for text in self.get("platform").into_iter().flat_map(|text| text.split(',')) {
            let platform = text.trim().parse().map_err(|_| invalid("platform", text, "OS/ARCH"))?;
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Ok(platforms)
    }

    pub(crate) fn build_args(&self) -> BTreeMap<String, String> {
        let all = self.with_prefix("build-arg:").into_iter();
        let mut all: BTreeMap<_, _> = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // The argument says the same, and goes first, as in BuildKit.
        if let Some(name) = self.get("hostname") {
            all.entry(HOSTNAME.to_owned()).or_insert_with(|| name.to_owned());
        }
        all
    }

    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let all = self.with_prefix("label:").into_iter();
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Named contexts for a platform; those for another one do not count.
    pub(crate) fn contexts(&self, platform: &Platform) -> Vec<ContextAttribute<'a>> {
        let mut contexts: BTreeMap<&str, (bool, &str)> = BTreeMap::new();
        for (name, value) in self.with_prefix("context:") {
            let (name, is_special) = match name.rsplit_once("::") {
                Some((name, wanted)) if wanted.parse::<Platform>().is_ok_and(|it| it == *platform) => {
                    (name, true)
                }
                Some(_) => continue,
                None => (name, false),
            };
            let known = contexts.entry(name).or_insert((is_special, value));
            if is_special {
                *known = (true, value);
            }
        }
        contexts.into_iter().map(|(name, (_, value))| ContextAttribute { name, value }).collect()
    }

    /// Without stages it is for all of them.
    pub(crate) fn no_cache(&self) -> NoCache {
        match self.0.get("no-cache").map(String::as_str) {
            None => NoCache::Nothing,
            Some("") => NoCache::Everything,
            Some(stages) => NoCache::Stages(stages.split(',').map(str::to_owned).collect()),
        }
    }

    /// What is in the store is taken unless the client wants to know whether there is something newer.
    pub(crate) fn pull(&self) -> Result<PullPolicy, Status> {
        match self.get("image-resolve-mode") {
            None | Some("default" | "local") => Ok(PullPolicy::Missing),
            Some("pull") => Ok(PullPolicy::Always),
            Some(other) => Err(invalid("image-resolve-mode", other, "default, pull or local")),
        }
    }

    pub(crate) fn network(&self) -> Result<Network, Status> {
        match self.get("force-network-mode") {
            None | Some("sandbox") => Ok(Network::Default),
            Some("host") => Ok(Network::Host),
            Some("none") => Ok(Network::None),
            Some(other) => Err(invalid("force-network-mode", other, "host, none or sandbox")),
        }
    }

    pub(crate) fn surroundings(&self) -> Result<Surroundings, Status> {
        let list = |name| self.get(name).into_iter().flat_map(|text| text.split(','));
        let hosts =
            list("add-hosts").map(|text| host(text).ok_or_else(|| invalid("add-hosts", text, "NAME=IP")));
        let limits = list("ulimit")
            .map(|text| ulimit(text).ok_or_else(|| invalid("ulimit", text, "NAME=SOFT[:HARD]")));
        Ok(Surroundings {
            extra_hosts: hosts.collect::<Result<_, _>>()?,
            shm_size_bytes: self.parsed("shm-size", "bytes")?.filter(|bytes| *bytes > 0),
            ulimits: limits.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn resources(&self) -> Result<Resources, Status> {
        let memory_swap = match self.get("memswap") {
            None => Swap::default(),
            Some("-1") => Swap::Unlimited,
            Some(text) => {
                let bytes = text.parse().map_err(|_| invalid("memswap", text, "bytes or -1"));
                Swap::Bytes(bytes?)
            }
        };
        Ok(Resources {
            memory_bytes: self.parsed("memory", "bytes")?,
            memory_swap,
            cpu_shares: self.parsed("cpushares", "a weight")?,
            cpu_quota_us: self.parsed("cpuquota", "microseconds")?,
            cpu_period_us: self.parsed("cpuperiod", "microseconds")?,
            cpuset_cpus: self.or("cpusetcpus", "").to_owned(),
            cpuset_mems: self.or("cpusetmems", "").to_owned(),
            parent: self.or("cgroup-parent", "").to_owned(),
            ..Resources::default()
        })
    }
}

pub(crate) fn invalid(name: &str, value: &str, expected: &str) -> Status {
    Status::invalid_argument(format!("invalid value `{value}` of `{name}`, expected {expected}"))
}

/// `NAME=IP` or `NAME:IP`, with brackets around an IPv6 address or without.
fn host(text: &str) -> Option<(String, String)> {
    let (name, address) = text.split_once(['=', ':'])?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    let address = match bare {
        HOST_GATEWAY => bare.to_owned(),
        _ => bare.parse::<IpAddr>().ok()?.to_string(),
    };
    is_name.then(|| (name.to_owned(), address))
}

/// `NAME=SOFT[:HARD]`; -1 is no limit.
fn ulimit(text: &str) -> Option<Ulimit> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| if text == "-1" { Some(None) } else { text.parse().ok().map(Some) };
    let (soft, hard) = (number(soft)?, number(hard)?);
    let is_possible = soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX);
    is_possible.then(|| Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_clients_say_becomes_a_request() {
        let map = attributes(&[
            ("filename", "a.Dockerfile"),
            ("build-arg:A", "1"),
            ("build-arg:B", ""),
            ("label:l", "x"),
            ("no-cache", "one,two"),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "host"),
            ("add-hosts", "db=10.0.0.1,six=[fd00::1],me=host-gateway"),
            ("ulimit", "nofile=64:128,core=-1"),
            ("shm-size", "1024"),
            ("memory", "4096"),
            ("memswap", "-1"),
            ("cpusetcpus", "0,1"),
            ("cgroup-parent", "g"),
            ("unknown", "y"),
        ]);
        let read = Attributes(&map);
        assert_eq!(read.filename(), "a.Dockerfile");
        assert_eq!(
            read.build_args().into_iter().collect::<Vec<_>>(),
            [("A".into(), "1".into()), ("B".into(), String::new())]
        );
        assert_eq!(read.labels(), [("l".into(), "x".into())]);
        assert_eq!(read.no_cache(), NoCache::Stages(vec!["one".into(), "two".into()]));
        assert_eq!(read.pull().unwrap(), PullPolicy::Always);
        assert_eq!(read.network().unwrap(), Network::Host);
        let surroundings = read.surroundings().unwrap();
        assert_eq!(surroundings.shm_size_bytes, Some(1024));
        assert_eq!(surroundings.extra_hosts[1], ("six".into(), "fd00::1".into()));
        assert_eq!(
            surroundings.ulimits[0],
            Ulimit { name: "nofile".into(), soft: Some(64), hard: Some(128) }
        );
        let resources = read.resources().unwrap();
        assert_eq!((resources.memory_bytes, resources.memory_swap), (Some(4096), Swap::Unlimited));
        assert_eq!((resources.cpuset_cpus.as_str(), resources.parent.as_str()), ("0,1", "g"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refusal = |name: &str, value: &str| {
            let map = attributes(&[(name, value)]);
            let read = Attributes(&map);
            let results = [
                read.platforms().map(drop),
                read.pull().map(drop),
                read.network().map(drop),
                read.surroundings().map(drop),
                read.resources().map(drop),
            ];
            results.into_iter().find_map(Result::err).map(|status| status.message().to_owned())
        };
        for (name, value) in [
            ("platform", "x y"),
            ("image-resolve-mode", "x"),
            ("force-network-mode", "x"),
            ("add-hosts", "db"),
            ("ulimit", "nofile=2:1"),
            ("shm-size", "x"),
            ("memory", "x"),
        ] {
            assert!(
                refusal(name, value).is_some_and(|text| text.contains(name) || text.contains(value)),
                "{name}"
            );
        }
    }

    #[test]
    fn the_name_of_the_machine_is_an_argument_too() {
        let name = |pairs| Attributes(&attributes(pairs)).build_args().remove(HOSTNAME);
        assert_eq!(name(&[("hostname", "one")]).as_deref(), Some("one"));
        let both = [("hostname", "one"), ("build-arg:BUILDKIT_SANDBOX_HOSTNAME", "two")];
        assert_eq!(name(&both).as_deref(), Some("two"));
    }

    #[test]
    fn a_context_for_the_platform_goes_before_one_for_all() {
        let map = attributes(&[
            ("context:a", "local:a"),
            ("context:b", "local:b"),
            ("context:b::linux/amd64", "local:special"),
            ("context:c::linux/s390x", "local:c"),
        ]);
        let platform = "linux/amd64".parse().unwrap();
        let found: Vec<_> = Attributes(&map)
            .contexts(&platform)
            .iter()
            .map(|it| format!("{}={}", it.name, it.value))
            .collect();
        assert_eq!(found, ["a=local:a", "b=local:special"]);
    }
}
