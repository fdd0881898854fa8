//! Changes what a container may use, and when it is started again, while it runs or not.

use executor::{Resources, Swap};

use super::ask::ask;
use super::error::ContainerError;
use super::settings::Restart;
use super::start::refusal;
use super::wire::{Reply, Request};
use crate::Engine;

/// What is to be another; what is not set stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Limits.
    pub resources: Resources,
    /// When it is started again.
    pub restart: Option<Restart>,
}

impl Engine {
    /// Changes a container. What runs is changed first: what that refuses does not count later.
    ///
    /// # Errors
    ///
    /// Limits that the machine does not have, or that a container which runs has no control group for.
    pub fn update_container(&self, name: &str, update: &Update) -> Result<(), ContainerError> {
        let home = self.home(name)?;
        let mut config = home.config()?;
        let resources = merged(&config.settings.resources, &update.resources);
        if resources != config.settings.resources
            && let Some((_, reply)) = ask(&home, &Request::Limit(Box::new(resources.clone())))?
        {
            match reply {
                Reply::Done | Reply::Refused(_) => {}
                reply => return Err(refusal(&config, reply, |source| ContainerError::Update { source })),
            }
        }
        config.settings.resources = resources;
        config.settings.restart = update.restart.unwrap_or(config.settings.restart);
        home.write_config(&config)?;
        self.tell(&config, "update");
        ask(&home, &Request::Reload).map(|_| ())
    }
}

/// The old limits with the new ones in their place.
fn merged(old: &Resources, new: &Resources) -> Resources {
    let text = |old: &String, new: &String| if new.is_empty() { old.clone() } else { new.clone() };
    Resources {
        memory_bytes: new.memory_bytes.or(old.memory_bytes),
        memory_swap: if new.memory_swap == Swap::Default { old.memory_swap } else { new.memory_swap },
        memory_reserved_bytes: new.memory_reserved_bytes.or(old.memory_reserved_bytes),
        cpu_shares: new.cpu_shares.or(old.cpu_shares),
        cpu_quota_us: new.cpu_quota_us.or(old.cpu_quota_us),
        cpu_period_us: new.cpu_period_us.or(old.cpu_period_us),
        cpuset_cpus: text(&old.cpuset_cpus, &new.cpuset_cpus),
        cpuset_mems: text(&old.cpuset_mems, &new.cpuset_mems),
        pids_max: new.pids_max.or(old.pids_max),
        block_weight: new.block_weight.or(old.block_weight),
        ..old.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_stays() {
        let old = Resources { memory_bytes: Some(1 << 30), cpu_shares: Some(2), ..Resources::default() };
        let new = Resources { cpu_shares: Some(3), cpuset_cpus: "0".into(), ..Resources::default() };
        let both = merged(&old, &new);
        assert_eq!(
            (both.memory_bytes, both.cpu_shares, both.cpuset_cpus.as_str()),
            (Some(1 << 30), Some(3), "0")
        );
        assert_eq!(merged(&old, &Resources::default()), old);
    }
}
