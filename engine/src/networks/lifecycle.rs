//! Makes, lists and removes networks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use image::Digest;
use jiff::Timestamp;

use super::directory::Directory;
use super::facts::{Facts, Ipv6Facts, Network, predefined};
use super::filter::NetworkFilters;
use super::subnet::{check, choose, routed};
use super::{NetworkError, NetworkRequest, PREDEFINED, Subnet, Subnet6, subnet6};
use crate::Engine;
use crate::events::{Event, EventKind};

/// The store of root, whose networks have the subnets that people know from Docker.
const DEFAULT_ROOT: &str = "/var/lib/slipway";

/// A network to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// Its driver: `bridge`, or empty.
    pub driver: String,
    /// Its addresses; some that nobody has without.
    pub subnet: Option<Subnet>,
    /// Those that containers get.
    pub range: Option<Subnet>,
    /// The way out; the first address without.
    pub gateway: Option<Ipv4Addr>,
    /// Whether there are IPv6 addresses as well.
    pub has_ipv6: bool,
    /// These, in the same way.
    pub ipv6: NewIpv6,
    /// Whether there is no way out.
    pub is_internal: bool,
    /// Whether Docker would let containers join it that are not of a service, which all are here.
    pub is_attachable: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver, of which there are none.
    pub options: BTreeMap<String, String>,
}

/// The IPv6 addresses of a network to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewIpv6 {
    /// All; some that nobody has without.
    pub subnet: Option<Subnet6>,
    /// Those that containers get.
    pub range: Option<Subnet6>,
    /// The way out; the first address without.
    pub gateway: Option<Ipv6Addr>,
}

impl Engine {
    /// With which subnet this store begins: the default one as Docker, others with one of their own.
    fn first_subnet(&self) -> u8 {
        if self.root() == Path::new(DEFAULT_ROOT) {
            return 0;
        }
        Digest::of(self.root().as_os_str().as_bytes()).0[0]
    }

    /// Makes a network; it is durable when this returns. Returns its id.
    ///
    /// # Errors
    ///
    /// A name that is taken or none, addresses that somebody has.
    pub fn create_network(&self, new: &NewNetwork) -> Result<String, NetworkError> {
        let directory = Directory::open(self.root())?;
        let _lock = directory.lock("lock")?;
        let all = directory.all()?;
        check_new(new, &all)?;
        let own: Vec<Subnet> = all.iter().map(|facts| facts.subnet).collect();
        let subnet = match new.subnet {
            Some(subnet) => check(subnet, &own).map(|()| subnet)?,
            None => choose(&[own, routed()].concat(), self.first_subnet())?,
        };
        let ipv6 = self.new_ipv6(new, &all)?;
        if let Some(range) =
            new.range.filter(|range| !subnet.contains(range.first) || range.prefix < subnet.prefix)
        {
            return Err(outside("range", range.to_string()));
        }
        let gateway = new.gateway.unwrap_or_else(|| subnet.first_host());
        if !subnet.contains(gateway) {
            return Err(outside("gateway", gateway.to_string()));
        }
        let created_unix_ns = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let identity = format!("{} {} {created_unix_ns} {}", new.name, std::process::id(), subnet);
        let facts = Facts {
            id: Digest::of(identity.as_bytes()).hex(),
            name: new.name.clone(),
            created_unix_ns,
            subnet,
            range: new.range,
            gateway,
            ipv6,
            is_configured: new.subnet.is_some(),
            is_internal: new.is_internal,
            is_attachable: new.is_attachable,
            labels: new.labels.clone(),
        };
        directory.write(&facts)?;
        tell(self.root(), "create", &facts);
        Ok(facts.id)
    }

    /// The IPv6 addresses of a new network, if it is to have any.
    fn new_ipv6(&self, new: &NewNetwork, all: &[Facts]) -> Result<Option<Ipv6Facts>, NetworkError> {
        let NewIpv6 { subnet, range, gateway } = new.ipv6;
        if !new.has_ipv6 {
            let is_given = new.ipv6 != NewIpv6::default();
            return if is_given { Err(NetworkError::WithoutIpv6) } else { Ok(None) };
        }
        let own: Vec<Subnet6> = all.iter().filter_map(|facts| Some(facts.ipv6?.subnet)).collect();
        let is_configured = subnet.is_some();
        let subnet = match subnet {
            Some(subnet) => subnet6::check(subnet, &own).map(|()| subnet)?,
            None => subnet6::choose(&own, self.root())?,
        };
        if let Some(range) =
            range.filter(|range| !subnet.contains(range.first) || range.prefix < subnet.prefix)
        {
            return Err(outside("range", range.to_string()));
        }
        let gateway = gateway.unwrap_or_else(|| subnet.first_host());
        if !subnet.contains(gateway) {
            return Err(outside("gateway", gateway.to_string()));
        }
        Ok(Some(Ipv6Facts { subnet, range, gateway, is_configured }))
    }

    /// The network of a name, an id, or the beginning of one.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NotFound`], [`NetworkError::Ambiguous`].
    pub fn network(&self, name: &str) -> Result<Network, NetworkError> {
        if let Some(found) = self.predefined().into_iter().find(|it| it.name == name || it.id == name) {
            return Ok(found);
        }
        let directory = Directory::open(self.root())?;
        described(&directory, &directory.find(name)?)
    }

    /// The networks that pass the filters, in the order of their names.
    pub fn networks(&self, filters: &NetworkFilters) -> Result<Vec<Network>, NetworkError> {
        let directory = Directory::open(self.root())?;
        let mut all = self.predefined();
        for facts in directory.all()? {
            all.push(described(&directory, &facts)?);
        }
        all.retain(|network| filters.pass(network));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn predefined(&self) -> Vec<Network> {
        PREDEFINED.map(|name| predefined(name, predefined_id(self.root(), name))).into()
    }

    /// Removes a network in which no container is.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NotFound`], [`NetworkError::InUse`], [`NetworkError::Predefined`].
    pub fn remove_network(&self, name: &str) -> Result<(), NetworkError> {
        if let Some(found) = self.predefined().into_iter().find(|it| it.name == name || it.id == name) {
            return Err(NetworkError::Predefined { name: found.name });
        }
        let directory = Directory::open(self.root())?;
        let _lock = directory.lock("lock")?;
        let facts = directory.find(name)?;
        // Nobody joins meanwhile.
        let _joining = directory.lock(&format!("{}.lock", facts.id))?;
        let members = executor::list(directory.fd(), &format!("{}.sock", facts.id))?;
        if !members.is_empty() {
            let one = |member: &executor::Endpoint| {
                let name = member.names.first().map(String::as_str).unwrap_or_default();
                format!("name:\"{name}\" id:\"{}\"", member.container)
            };
            let containers = members.iter().map(one).collect::<Vec<_>>().join(", ");
            return Err(NetworkError::InUse { name: facts.name, containers });
        }
        for extension in ["json", "sock", "lock"] {
            let path = directory.path.join(format!("{}.{extension}", facts.id));
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(NetworkError::File { path, source });
                }
                _ => {}
            }
        }
        tell(self.root(), "destroy", &facts);
        Ok(())
    }

    /// Removes all networks in which no container is. Returns their names.
    pub fn prune_networks(&self, filters: &NetworkFilters) -> Result<Vec<String>, NetworkError> {
        let mut names = Vec::new();
        for network in self.networks(filters)? {
            if PREDEFINED.contains(&network.name.as_str()) {
                continue;
            }
            match self.remove_network(&network.id) {
                Ok(()) => names.push(network.name),
                Err(NetworkError::InUse { .. } | NetworkError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // It takes nothing but a name.
        self.note_prune(EventKind::Network, 0);
        Ok(names)
    }
}

fn outside(what: &'static str, address: String) -> NetworkError {
    NetworkError::Outside { what, address }
}

/// The id of one of the networks that are always there.
pub(crate) fn predefined_id(root: &Path, name: &str) -> String {
    Digest::of(format!("{name} {}", root.display()).as_bytes()).hex()
}

/// Ids and names of the networks that are asked for, as far as they are there.
pub(crate) fn identify(root: &Path, requests: &[NetworkRequest]) -> Vec<(String, String)> {
    let Ok(directory) = Directory::open(root) else { return Vec::new() };
    let found = requests.iter().filter_map(|request| directory.find(&request.network).ok());
    found.map(|facts| (facts.id, facts.name)).collect()
}

fn tell(root: &Path, action: &str, facts: &Facts) {
    let event = Event::now(EventKind::Network, action, &facts.id);
    event.with("name", &facts.name).with("type", "bridge").note(root);
}

fn check_new(new: &NewNetwork, all: &[Facts]) -> Result<(), NetworkError> {
    let name = || new.name.clone();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    let mut bytes = new.name.bytes();
    let is_valid =
        bytes.next().is_some_and(is_plain) && bytes.all(|byte| is_plain(byte) || b"_.-".contains(&byte));
    if !is_valid {
        return Err(NetworkError::Name { name: name() });
    }
    if PREDEFINED.contains(&new.name.as_str()) || new.name == "default" {
        return Err(NetworkError::Predefined { name: name() });
    }
    if all.iter().any(|facts| facts.name == new.name) {
        return Err(NetworkError::Exists { name: name() });
    }
    if !["", "bridge"].contains(&new.driver.as_str()) {
        return Err(NetworkError::Driver { driver: new.driver.clone() });
    }
    match new.options.keys().next() {
        Some(option) => Err(NetworkError::UnknownOption { option: option.clone() }),
        None => Ok(()),
    }
}

fn described(directory: &Directory, facts: &Facts) -> Result<Network, NetworkError> {
    let mut network = Network::from(facts);
    for member in executor::list(directory.fd(), &format!("{}.sock", facts.id))? {
        network.containers.insert(member.container.clone(), (&member).into());
    }
    Ok(network)
}
