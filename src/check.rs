//! `sealpost check`: what could keep the server from working, and what to do about each.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

use crate::api;
use crate::bind;
use crate::config::Config;
use crate::data_dir;
use crate::db::{self, Origin};

/// Below this, a store that is in use will soon be full.
const LITTLE_SPACE_BYTES: u64 = 256 << 20;

/// What to do about what this user may not read, or not write to.
const GIVE: &str = "give it to the user that runs sealpost";

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was found.
    pub text: String,
    /// What to do about it; absent if nothing is wrong.
    pub advice: Option<String>,
}

fn ok(text: impl Into<String>) -> Finding {
    Finding {
        text: text.into(),
        advice: None,
    }
}

/// On one line, though libraries say some things on several.
fn problem(text: impl AsRef<str>, advice: impl Into<String>) -> Finding {
    let lines: Vec<&str> = text.as_ref().lines().map(str::trim).collect();
    Finding {
        text: lines.join(" "),
        advice: Some(advice.into()),
    }
}

/// Looks at everything, and changes nothing.
pub fn run(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(config.database_url.as_deref().map(postgres));
    if let Some(refused) = unusable(&config.data_dir) {
        // What is in it would be refused for the same reason, one by one.
        findings.push(refused);
        disk(&config.data_dir, &mut findings);
    } else if config.data_dir.is_dir() {
        let is_running = is_served(config, &mut findings);
        if config.database_url.is_none() {
            database(&db::file_in(&config.data_dir), &mut findings);
        }
        findings.extend(uploads(&config.uploads_dir()));
        keys(config, &mut findings);
        private_files(&config.data_dir, &mut findings);
        disk(&config.data_dir, &mut findings);
        if !is_running {
            ports(config, &mut findings);
        }
    } else if config.data_dir.exists() {
        findings.push(problem(
            format!("{} is not a directory", config.data_dir.display()),
            "name another --data-dir",
        ));
    } else if config.data_dir.is_symlink() {
        findings.push(problem(
            format!("{} is a link to nothing", config.data_dir.display()),
            "make the directory it leads to, or name another --data-dir",
        ));
    } else {
        to_be_made(&config.data_dir, &mut findings);
        ports(config, &mut findings);
    }
    findings.extend(certificate(config));
    findings
}

/// Whether `serve` could make the directory, and what room it would have.
fn to_be_made(data_dir: &Path, findings: &mut Vec<Finding>) {
    let whole = match std::path::absolute(data_dir) {
        Ok(whole) => whole,
        Err(cause) => {
            findings.push(problem(
                format!("{} is in no directory: {cause}", data_dir.display()),
                "go to another working directory",
            ));
            return;
        }
    };
    let Some(parent) = whole.ancestors().find(|above| above.exists()) else {
        return;
    };
    let made = if parent.is_dir() {
        let needed = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::access(parent, needed).map_err(|cause| cause.to_string())
    } else {
        Err("it is not a directory".into())
    };
    let data_dir = data_dir.display();
    findings.push(match made {
        Ok(()) => ok(format!("no data yet: {data_dir} will be made by `serve`")),
        Err(cause) => problem(
            format!("{data_dir} cannot be made in {}: {cause}", parent.display()),
            "name another --data-dir",
        ),
    });
    disk(parent, findings);
}

/// Whether a server is running on this data.
fn is_served(config: &Config, findings: &mut Vec<Finding>) -> bool {
    let in_use = data_dir::is_in_use(&config.data_dir);
    let is_running = matches!(in_use, Ok(true));
    findings.push(match in_use {
        Ok(true) => ok("a server is running on this data"),
        Ok(false) => ok("no server is running on this data"),
        Err(cause) => {
            let cause = data_dir::refused(&config.data_dir.join("lock"), &cause);
            problem(format!("the lock cannot be read: {cause}"), GIVE)
        }
    });
    is_running
}

fn postgres(url: &str) -> Finding {
    match db::server_origin(url) {
        Ok(Origin::NewerSealpost(version)) => newer_schema(&version),
        Ok(Origin::Empty | Origin::Sealpost) => ok("PostgreSQL answers"),
        Ok(Origin::Foreign) => problem(
            "the database is that of another program",
            "name another --database-url",
        ),
        Err(cause) => problem(
            format!("PostgreSQL: {cause}"),
            "check database_url and that the server runs",
        ),
    }
}

fn newer_schema(version: &str) -> Finding {
    problem(
        format!("the database is of schema {version}"),
        "use the newer sealpost that wrote it",
    )
}

fn database(file: &Path, findings: &mut Vec<Finding>) {
    if matches!(file.try_exists(), Ok(false)) {
        findings.push(ok("no database yet: `serve` will make it"));
        return;
    }
    if let Err(cause) = db::check_is_writable(file) {
        findings.push(problem(cause.to_string(), GIVE));
        if is_refused(file) {
            return;
        }
    }
    let origin = db::origin(file);
    let is_ours = matches!(origin, Ok(Origin::Sealpost | Origin::NewerSealpost(_)));
    findings.push(match origin {
        Ok(Origin::Sealpost) => ok("the database is of this version or older"),
        Ok(Origin::Empty) => ok("the database is empty: `serve` will fill it"),
        Ok(Origin::NewerSealpost(version)) => newer_schema(&version),
        Ok(Origin::Foreign) => problem(
            format!("{} is the database of another program", file.display()),
            "move it away, or name another --data-dir",
        ),
        Err(cause) => problem(
            cause.to_string(),
            "make it readable; if it is damaged, keep it and `sealpost restore` the last backup",
        ),
    });
    if is_ours {
        findings.push(soundness(file));
    }
}

fn soundness(file: &Path) -> Finding {
    match db::integrity_problems(file) {
        Ok(found) if found.is_empty() => ok("the database is sound"),
        Ok(found) => problem(
            format!("the database is damaged: {}", found.join("; ")),
            "stop the server and `sealpost restore` the last backup; keep the damaged file",
        ),
        Err(cause) => problem(
            cause.to_string(),
            "if it is damaged, keep it and `sealpost restore` the last backup",
        ),
    }
}

/// What keeps `serve` from using a directory, if it is one.
fn unusable(directory: &Path) -> Option<Finding> {
    if !directory.is_dir() {
        return None;
    }
    let needed = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let cause = rustix::fs::access(directory, needed).err()?;
    let cause = data_dir::refused(directory, &cause.into());
    let text = format!("{} cannot be used: {cause}", directory.display());
    Some(problem(text, GIVE))
}

fn uploads(directory: &Path) -> Option<Finding> {
    if directory.exists() && !directory.is_dir() {
        let text = format!("{} is not a directory", directory.display());
        return Some(problem(text, "move it away"));
    }
    unusable(directory)
}

/// Whether a file is there that this user may not read.
fn is_refused(path: &Path) -> bool {
    rustix::fs::access(path, Access::READ_OK) == Err(Errno::ACCESS)
}

/// Whether what signs is what it should be.
fn keys(config: &Config, findings: &mut Vec<Finding>) {
    let advice = |name: &str, otherwise: &'static str| {
        let is_anothers = is_refused(&config.key_file(name));
        if is_anothers { GIVE } else { otherwise }
    };
    if config.secret_key.is_none()
        && let Err(cause) = data_dir::find_secret(config)
    {
        let otherwise =
            "bring it back from where it was saved; if it is removed, everybody logs in again";
        findings.push(problem(cause.to_string(), advice("token.key", otherwise)));
    }
    if let Err(cause) = data_dir::find_signer(config) {
        let otherwise =
            "bring it back from where it was saved; if it is removed, agents warn of a new one";
        findings.push(problem(cause.to_string(), advice("server.key", otherwise)));
    }
}

/// The certificate of chat_room, if there is to be one.
fn certificate(config: &Config) -> Option<Finding> {
    if !config.chat_room.enabled || config.chat_room.tls.is_none() {
        return None;
    }
    Some(match api::check_tls(&config.chat_room) {
        Ok(()) => ok("chat_room has its certificate and key"),
        Err(cause) => problem(cause.to_string(), "name PEM files that belong together"),
    })
}

/// Secrets that others on the machine could read.
fn private_files(data_dir: &Path, findings: &mut Vec<Finding>) {
    for name in ["token.key", "server.key", "sealpost.db"] {
        let path = data_dir.join(name);
        let Ok(meta) = path.metadata() else { continue };
        let dir_mode = data_dir
            .metadata()
            .map_or(0, |meta| meta.permissions().mode());
        let is_open = meta.permissions().mode() & 0o077 != 0 && dir_mode & 0o077 != 0;
        findings.push(if is_open {
            let advice = format!(
                "chmod 700 {} && chmod 600 {}",
                data_dir.display(),
                path.display()
            );
            problem(format!("{name} can be read by other users"), advice)
        } else {
            ok(format!("{name} is private"))
        });
    }
}

fn disk(data_dir: &Path, findings: &mut Vec<Finding>) {
    findings.push(match rustix::fs::statvfs(data_dir) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let text = format!("{} MiB of disk are free", free >> 20);
            if free < LITTLE_SPACE_BYTES {
                problem(text, "free some space or move the data")
            } else {
                ok(text)
            }
        }
        Err(cause) => problem(format!("free space is unknown: {cause}"), "look with df"),
    });
}

fn ports(config: &Config, findings: &mut Vec<Finding>) {
    const HTTP: [&str; 2] = ["--address", "--port"];
    const ROOM: [&str; 2] = ["chat_room.address", "--chat-room-port"];
    // Held until all are: of every address and of one, a port can be had once.
    let mut held = Vec::new();
    let room =
        config
            .chat_room
            .enabled
            .then_some((config.chat_room.address, config.chat_room.port, ROOM));
    let http = config.ports.iter();
    let http = http.map(|port| (config.address, *port, HTTP));
    for (address, port, names) in http.chain(room) {
        findings.push(match TcpListener::bind((address, port)) {
            Ok(listener) => {
                held.push(listener);
                ok(format!("{address}:{port} is free"))
            }
            Err(cause) => problem(
                format!("{address}:{port}: {cause}"),
                bind::advice(&cause, names),
            ),
        });
    }
}
