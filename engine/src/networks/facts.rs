//! A network on the disk, and as those see it who look at it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use executor::{Ipv6Plan, SwitchPlan};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Subnet, Subnet6};

/// A network that a user made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(super) created_unix_ns: i64,
    pub(super) subnet: Subnet,
    pub(super) range: Option<Subnet>,
    pub(crate) gateway: Ipv4Addr,
    /// Its IPv6 addresses, if it has any.
    #[serde(default)]
    pub(crate) ipv6: Option<Ipv6Facts>,
    /// Whether the user has chosen the subnet.
    pub(super) is_configured: bool,
    pub(crate) is_internal: bool,
    #[serde(default)]
    pub(super) is_attachable: bool,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

/// The IPv6 addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ipv6Facts {
    pub(super) subnet: Subnet6,
    pub(super) range: Option<Subnet6>,
    pub(crate) gateway: Ipv6Addr,
    /// Whether the user has chosen the subnet.
    pub(super) is_configured: bool,
}

impl Ipv6Facts {
    fn plan(&self) -> Ipv6Plan {
        let range = self.range.unwrap_or(self.subnet);
        Ipv6Plan {
            subnet: (self.subnet.first, self.subnet.prefix),
            range: (range.first, range.prefix),
            gateway: self.gateway,
        }
    }
}

impl Facts {
    pub(super) fn plan(&self) -> SwitchPlan {
        let range = self.range.unwrap_or(self.subnet);
        SwitchPlan {
            name: self.name.clone(),
            subnet: (self.subnet.first, self.subnet.prefix),
            range: (range.first, range.prefix),
            gateway: self.gateway,
            ipv6: self.ipv6.as_ref().map(Ipv6Facts::plan),
            is_internal: self.is_internal,
        }
    }
}

/// A network, with the fields and the order of Docker's API.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// RFC 3339.
    pub created: String,
    /// Always `local`.
    pub scope: String,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// Always true.
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    /// Whether there are IPv6 addresses as well.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// Whether there is no way out.
    pub internal: bool,
    /// As the user has said.
    pub attachable: bool,
    /// Always false.
    pub ingress: bool,
    /// Always empty.
    pub config_from: ConfigFrom,
    /// Always false.
    pub config_only: bool,
    /// Those that run in it, by their ids.
    pub containers: BTreeMap<String, NetworkContainer>,
    /// Of the driver: there are none.
    pub options: BTreeMap<String, String>,
    /// As the user has said.
    pub labels: BTreeMap<String, String>,
}

/// `IPAM`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ipam {
    /// Always `default`.
    pub driver: String,
    /// Always null.
    pub options: Option<BTreeMap<String, String>>,
    /// One for IPv4, and one for IPv6 if it has such addresses; null for a network without addresses of its own.
    pub config: Option<Vec<IpamConfig>>,
}

/// Addresses of a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamConfig {
    /// All of them.
    pub subnet: String,
    /// Those that containers get.
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    /// The way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// `ConfigFrom`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigFrom {
    /// Always empty.
    pub network: String,
}

/// A container in a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkContainer {
    /// Its name.
    pub name: String,
    /// Of its place in this network.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Its hardware address.
    pub mac_address: String,
    /// Its address with the bits of the subnet.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// The same for IPv6; empty if it has none.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// A network without addresses of its own, or with those of the private networks.
pub(super) fn predefined(name: &str, id: String) -> Network {
    let driver = if name == "none" { "null" } else { name };
    Network {
        name: name.to_owned(),
        id,
        created: Timestamp::UNIX_EPOCH.to_string(),
        scope: "local".to_owned(),
        driver: driver.to_owned(),
        enable_ipv4: true,
        enable_ipv6: false,
        ipam: Ipam { driver: "default".to_owned(), options: None, config: None },
        internal: false,
        attachable: false,
        ingress: false,
        config_from: ConfigFrom::default(),
        config_only: false,
        containers: BTreeMap::new(),
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

impl From<&Facts> for Network {
    fn from(facts: &Facts) -> Self {
        let created = Timestamp::from_nanosecond(i128::from(facts.created_unix_ns));
        let config = IpamConfig {
            subnet: facts.subnet.to_string(),
            ip_range: facts.range.map(|range| range.to_string()),
            gateway: Some(facts.gateway.to_string()),
        };
        let config6 = facts.ipv6.map(|ipv6| IpamConfig {
            subnet: ipv6.subnet.to_string(),
            ip_range: ipv6.range.map(|range| range.to_string()),
            gateway: Some(ipv6.gateway.to_string()),
        });
        let config = Some([config].into_iter().chain(config6).collect());
        let ipam = Ipam { driver: "default".to_owned(), options: None, config };
        Self {
            enable_ipv6: facts.ipv6.is_some(),
            created: created.unwrap_or_default().to_string(),
            ipam,
            internal: facts.is_internal,
            attachable: facts.is_attachable,
            labels: facts.labels.clone(),
            ..predefined("bridge", facts.id.clone())
        }
        .named(&facts.name)
    }
}

impl Network {
    fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }
}

impl From<&executor::Endpoint> for NetworkContainer {
    fn from(endpoint: &executor::Endpoint) -> Self {
        Self {
            name: endpoint.names.first().cloned().unwrap_or_default(),
            endpoint_id: super::place::endpoint_id(endpoint),
            mac_address: super::place::mac_text(endpoint.mac),
            ipv4_address: format!("{}/{}", endpoint.address, endpoint.prefix),
            ipv6_address: endpoint
                .address6
                .map(|(address, prefix)| format!("{address}/{prefix}"))
                .unwrap_or_default(),
        }
    }
}
