//! The server's process: started, watched through its output, signalled and ended.

use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::waiting::{PATIENCE, poll};

/// The built program, with nothing inherited that could change what it does.
pub(crate) fn program() -> Command {
    through(&[])
}

fn through(wrapper: &[String]) -> Command {
    let binary = env!("CARGO_BIN_EXE_sealpost");
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What the program has said on both of its streams, line by line, as it came.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    /// How many streams have come to their end.
    ended: usize,
}

impl Lines {
    /// Collects what comes from `stream` until its end.
    fn collect(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.change(|said| said.lines.push(line));
            }
            lines.change(|said| said.ended += 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        let (said, changed) = &*self.0;
        change(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// The first line for which `find` has an answer; `None` at the end of both.
    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (said, changed) = &*self.0;
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = said.lines.iter().find_map(|line| find(line)) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if said.ended == 2 || left.is_zero() {
                return None;
            }
            said = changed
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn all(&self) -> String {
        let (said, _) = &*self.0;
        said.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .join("\n")
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    said: Lines,
}

impl Server {
    /// Starts the program with `args` and returns once it has said where it listens.
    pub(crate) fn start(
        wrapper: &[String],
        args: &[String],
        env: &[(String, String)],
        home: &Path,
    ) -> Self {
        let mut child = through(wrapper)
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");
        let said = Lines::default();
        said.collect(child.stdout.take().expect("stdout is piped"));
        said.collect(child.stderr.take().expect("stderr is piped"));
        let Some(port) = said.wait_for(port_in) else {
            child.kill().expect("a child can be killed");
            let status = child.wait().expect("a killed child ends");
            let said = said.all();
            panic!("it did not say where it listens ({status})\nargs: {args:?}\n{said}");
        };
        Self { child, port, said }
    }

    /// The port of 127.0.0.1 it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far, its log included.
    pub(crate) fn log(&self) -> String {
        self.said.all()
    }

    /// Waits until it says a line that satisfies `is`; panics if it never does.
    pub(crate) fn wait_for_line(&self, is: impl Fn(&str) -> bool) -> String {
        self.said
            .wait_for(|line| is(line).then(|| line.to_owned()))
            .unwrap_or_else(|| panic!("no such line in its log:\n{}", self.log()))
    }

    /// Ends it at once (SIGKILL), whatever it is doing.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh")
            .args(["-c", &command])
            .status()
            .expect("sh runs");
        assert!(status.success(), "{command}: {status}");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    /// The same, for a server that has promised to end within this time.
    pub(crate) fn wait_at_most(&mut self, time: Duration) -> ExitStatus {
        let status = || self.child.try_wait().expect("a child can be waited for");
        poll(time, status).unwrap_or_else(|| panic!("it did not end; its log:\n{}", self.log()))
    }

    /// Asks for the orderly end (SIGTERM) and waits for it.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        let log = self.log();
        if thread::panicking() {
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the server's last words:");
            last.into_iter()
                .rev()
                .for_each(|line| eprintln!("  {line}"));
        } else {
            assert!(!log.contains("panicked at"), "the server panicked:\n{log}");
        }
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
