//! A running server and its port.

use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use super::process::{Process, through};

/// A running server.
pub(crate) struct Server {
    process: Process,
    port: u16,
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Server {
    /// Starts the program with `args` and returns once it has said where it listens.
    pub(crate) fn start(
        wrapper: &[String],
        args: &[String],
        env: &[(String, String)],
        home: &Path,
    ) -> Self {
        let mut command = through(wrapper);
        let command = command.args(args).current_dir(home);
        let command = command.envs(env.iter().map(|(name, value)| (name, value)));
        let (process, port) = Process::start(command, port_in);
        Self { process, port }
    }

    /// The port of 127.0.0.1 it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// A port of 127.0.0.1 that nobody has.
pub(crate) fn free_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
    taken.expect("a free port").port()
}

/// The port in a line that holds `http://127.0.0.1:PORT`.
fn port_in(line: &str) -> Option<u16> {
    let (_, after) = line
        .split_once("http://127.0.0.1:")
        .or_else(|| line.split_once("http://[::]:"))?;
    let digits = after
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(after.len());
    after[..digits].parse().ok()
}
