//! The built program as a process: started, watched through its output, signalled and ended.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::waiting::{PATIENCE, poll};

/// The built program, with nothing inherited that could change what it does.
pub(crate) fn program() -> Command {
    through(&[])
}

/// The same behind another program, which must `exec` what follows it.
pub(crate) fn through(wrapper: &[String]) -> Command {
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

/// Runs `command` to its end, which must come by itself: what goes on is killed, and the test fails.
pub(crate) fn ended(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    end_of(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Waits for the end of `child`, which must come by itself, and returns what it said on its pipes.
pub(crate) fn end_of(child: Child) -> Output {
    let pid = Pid::from_child(&child);
    let (sender, end) = channel();
    let waiter = thread::spawn(move || {
        let output = child.wait_with_output();
        // Nobody listens any more to what took too long.
        let _ = sender.send(());
        output
    });
    let is_in_time = end.recv_timeout(PATIENCE).is_ok();
    if !is_in_time {
        // It may just have ended after all.
        let _ = kill_process(pid, Signal::KILL);
    }
    let output = waiter.join().expect("no panic").expect("pipes to read");
    assert!(is_in_time, "it went on; until then: {output:?}");
    output
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

/// A running server or agent; it may not panic, and ends with its owner.
pub(crate) struct Process {
    child: Child,
    said: Lines,
}

impl Process {
    /// Starts `command` and returns once it has said a line in which `find` finds something.
    pub(crate) fn start<T>(command: &mut Command, find: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");
        let said = Lines::default();
        said.collect(child.stdout.take().expect("stdout is piped"));
        said.collect(child.stderr.take().expect("stderr is piped"));
        let process = Self { child, said };
        match process.said.wait_for(find) {
            Some(found) => (process, found),
            None => panic!("it did not announce itself: {command:?}\n{}", process.log()),
        }
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
        self.wait();
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
        let status = poll(time, status);
        let status = status.unwrap_or_else(|| panic!("it did not end; its log:\n{}", self.log()));
        // Its last words may still be on their way.
        self.said.wait_for(|_| None::<()>);
        status
    }

    /// Asks for the orderly end (SIGTERM) and waits for it.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        self.said.wait_for(|_| None::<()>);
        let log = self.log();
        if thread::panicking() {
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("its last words:");
            last.into_iter()
                .rev()
                .for_each(|line| eprintln!("  {line}"));
        } else {
            assert!(!log.contains("panicked at"), "the program panicked:\n{log}");
        }
    }
}
