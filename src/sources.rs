//! Where settings come from.
//!
//! What the settings mean is [`config`](crate::config)'s.

use std::path::Path;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};

use crate::config::Config;

/// Settings from the defaults, `Rocket.toml` and the environment, later ones over earlier ones.
/// In each a single `port` counts as `ports` with one entry.
pub fn merged() -> Figment {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = file() {
        figment = figment.merge(OnePort(file));
    }
    figment.merge(OnePort(environment())).select(profile())
}

fn profile() -> Profile {
    Profile::from_env_or("ROCKET_PROFILE", "default")
}

fn file_name() -> String {
    Env::var_or("ROCKET_CONFIG", "Rocket.toml")
}

/// The file of settings, if there is one.
fn file() -> Option<impl Provider> {
    let name = file_name();
    Path::new(&name)
        .exists()
        .then(|| Toml::file_exact(name).nested())
}

fn environment() -> Env {
    Env::prefixed("ROCKET_")
        .ignore(&["PROFILE", "CONFIG"])
        .split("__")
        .global()
}

/// A source in which `port` is read as `ports`. Only here can it be told which of the two was said
/// last: once the sources are merged, each name has the value of a source of its own.
struct OnePort<P>(P);

impl<P: Provider> Provider for OnePort<P> {
    fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut profiles = self.0.data()?;
        for settings in profiles.values_mut() {
            if let Some(port) = settings.remove("port") {
                settings.insert("ports".into(), vec![port].into());
            }
        }
        Ok(profiles)
    }
}
