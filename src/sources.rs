//! Where settings come from, and what stands there that nobody reads.
//!
//! What the settings mean is [`config`](crate::config)'s.

use std::path::Path;

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
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

/// Not settings of ours: the first is read as `ports`, the others nobody can miss.
const TAKEN: [&str; 3] = ["port", "cli_colors", "ident"];

/// Why the setting `name` has no effect.
fn reason(name: &str) -> &'static str {
    if rocket::Config::PARAMETERS.contains(&name) {
        "of Rocket's own settings only address, port and workers are read"
    } else {
        "there is no such setting"
    }
}

/// A line for each setting, and for the profile, that has no effect since nothing has that name.
/// Of names below one another, as `chat_room.port` is, two are looked at.
///
/// Says nothing of what cannot be read: [`Config::load`] does.
pub fn warnings() -> Vec<String> {
    let mut warnings = Vec::new();
    let variables = environment().data().unwrap_or_default();
    for setting in unknown(&variables) {
        let variable = format!("ROCKET_{}", setting.to_uppercase().replace('.', "__"));
        let reason = reason(&setting);
        warnings.push(format!("{variable} has no effect: {reason}"));
    }
    let name = file_name();
    let sections = file().and_then(|file| file.data().ok());
    for setting in sections.iter().flat_map(unknown) {
        let reason = reason(&setting);
        warnings.push(format!("{setting} in {name} has no effect: {reason}"));
    }
    warnings.extend(profile_warning(&name, sections.as_ref()));
    warnings
}

fn profile_warning(file: &str, sections: Option<&Map<Profile, Dict>>) -> Option<String> {
    let profile = profile();
    let holds = |wanted: &Profile| sections.is_some_and(|found| found.contains_key(wanted));
    if profile != Profile::Default && !holds(&profile) {
        return Some(format!(
            "ROCKET_PROFILE={profile} has no effect: there is no [{profile}] in {file}"
        ));
    }
    let is_used = [&profile, &Profile::Default, &Profile::Global]
        .into_iter()
        .any(holds);
    let is_unused = sections.is_some_and(|found| !found.is_empty()) && !is_used;
    is_unused.then(|| format!("{file} has no effect: there is no [{profile}] in it"))
}

/// The names in any profile that nobody reads; one below another as `chat_room.<name>`.
fn unknown(profiles: &Map<Profile, Dict>) -> Vec<String> {
    let ours = Serialized::defaults(Config::default()).data();
    let ours = ours.expect("the defaults are plain data");
    let mut names = Vec::new();
    for (name, value) in profiles.values().flatten() {
        let known = ours.values().find_map(|settings| settings.get(name));
        match (known.map(Value::as_dict), value.as_dict()) {
            (Some(Some(below)), Some(found)) => {
                let strange = found.keys().filter(|inner| !below.contains_key(*inner));
                names.extend(strange.map(|inner| format!("{name}.{inner}")));
            }
            (None, _) if !TAKEN.contains(&name.as_str()) => names.push(name.clone()),
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    names
}
