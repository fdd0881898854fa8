//! Containers that run join and leave networks.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::directory::Directory;
use super::facts::Facts;
use super::join::{Joined, Member, join_network};
use super::place::Place;
use super::{NetworkError, NetworkRequest, PREDEFINED};
use crate::Engine;
use crate::containers::{Config, Container, ContainerError};
use crate::events::{Event, EventKind};
use crate::network::name_servers_of_host;

impl Engine {
    /// Makes a container join a network, now if it runs, and whenever it is started.
    ///
    /// # Errors
    ///
    /// That it is in the network, or in one of its own that it does not share with anybody.
    pub fn connect_container(&self, name: &str, request: &NetworkRequest) -> Result<(), ContainerError> {
        let container = self.container(name)?;
        let mut config = container.config.clone();
        let networking = &mut config.settings.networks;
        if !networking.is_shared() || PREDEFINED.contains(&request.network.as_str()) {
            return Err(NetworkError::Mixed.into());
        }
        let facts = Directory::open(self.root()).and_then(|directory| directory.find(&request.network))?;
        let is_same =
            |other: &NetworkRequest| other.network == facts.name || facts.id.starts_with(&other.network);
        if networking.networks.iter().any(is_same) {
            let container = format!("endpoint with name {} already exists in network", config.name);
            return Err(NetworkError::AlreadyIn { container, network: facts.name }.into());
        }
        if container.state.status.is_alive() && container.state.pid != 0 {
            self.join_now(&container, request)?;
        }
        if container.state.status.is_alive() {
            tell(self.root(), "connect", &facts, &config.id);
        }
        networking.networks.push(NetworkRequest { network: facts.name, ..request.clone() });
        self.replace_config(&config)
    }

    fn join_now(&self, container: &Container, request: &NetworkRequest) -> Result<(), ContainerError> {
        let pid = container.state.pid;
        let path = format!("/proc/{pid}/ns/net");
        let failed = |source| NetworkError::File { path: path.clone().into(), source };
        let process = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let not_running = || ContainerError::NotRunning { id: container.config.id.clone() };
        let process = process.ok_or_else(not_running)?;
        let namespace = File::open(&path).map_err(failed)?;
        // The number may have been given to another process meanwhile.
        if self.container(&container.config.id)?.state.pid != pid {
            return Err(not_running());
        }
        let servers = &container.config.settings.dns.servers;
        let resolvers = if servers.is_empty() { name_servers_of_host() } else { servers.clone() };
        let interfaces = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
        let member = Member {
            id: &container.config.id,
            name: Some(&container.config.name),
            resolvers: &resolvers,
            interface: Some(free_interface(&interfaces)),
        };
        let running = (namespace.as_fd(), Some(process.as_fd()));
        let none = Joined { places: Vec::new() };
        join_network(self.root(), request, &member, &none, Some(running)).map(drop)?;
        Ok(())
    }

    /// Makes a container leave a network.
    ///
    /// # Errors
    ///
    /// That it is not in it, or in no other.
    pub fn disconnect_container(&self, name: &str, network: &str) -> Result<(), ContainerError> {
        let Container { mut config, state } = self.container(name)?;
        let directory = Directory::open(self.root())?;
        let facts = directory.find(network)?;
        let networks = &mut config.settings.networks.networks;
        let before = networks.len();
        networks.retain(|other| other.network != facts.name && !facts.id.starts_with(&other.network));
        if networks.len() == before {
            return Err(NetworkError::NotIn { container: config.name, network: facts.name }.into());
        }
        if networks.is_empty() {
            config.settings.network = graph::Network::None;
        }
        if state.status.is_alive() {
            executor::leave(directory.fd(), &format!("{}.sock", facts.id), &config.id)
                .map_err(NetworkError::from)?;
            tell(self.root(), "disconnect", &facts, &config.id);
        }
        self.replace_config(&config)
    }

    /// The places of a container that runs.
    pub(crate) fn places(&self, config: &Config) -> Vec<Place> {
        let Ok(directory) = Directory::open(self.root()) else { return Vec::new() };
        let requests = config.settings.networks.networks.iter();
        let place = |request: &NetworkRequest| {
            let facts = directory.find(&request.network).ok()?;
            let members = executor::list(directory.fd(), &format!("{}.sock", facts.id)).ok()?;
            let own = members.iter().find(|member| member.container == config.id)?;
            Some(Place::new(&facts, own))
        };
        requests.filter_map(place).collect()
    }
}

fn tell(root: &Path, action: &str, facts: &Facts, container: &str) {
    let event = Event::now(EventKind::Network, action, &facts.id);
    event.with("container", container).with("name", &facts.name).with("type", "bridge").note(root);
}

/// The first name that no interface has, in the words of proc(5).
fn free_interface(text: &str) -> String {
    let names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    let mut number = 0;
    loop {
        let name = format!("eth{number}");
        if !names.contains(&name.as_str()) {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_gets_the_first_free_name() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 0 0\n  eth2: 0 0\n";
        assert_eq!(free_interface(text), "eth1");
        assert_eq!(free_interface(""), "eth0");
    }
}
