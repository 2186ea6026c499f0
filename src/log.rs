//! Log lines on standard error, without making requests wait for it.
//!
//! Lines gather in memory and one thread writes them some times a second: waking a thread for each
//! line would cost a tenth of the sends. A reader of the log that cannot keep up loses lines,
//! never slows a request; how many were lost is said in the log itself.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sealpost::config::LogFormat;
use tracing_subscriber::EnvFilter;

const WRITE_EVERY: Duration = Duration::from_millis(50);
/// More than this is not kept for a slow reader.
const MOST_WAITING_BYTES: usize = 4 << 20;

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
}

/// What the formatter writes whole lines into.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Waiting>>);

impl Write for Buffer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() + line.len() > MOST_WAITING_BYTES {
            waiting.lost += 1;
        } else {
            waiting.lines.extend_from_slice(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    /// Writes what has gathered.
    fn drain(&self) {
        let Waiting { mut lines, lost } =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if lost > 0 {
            lines.extend_from_slice(
                format!("{{\"level\":\"WARN\",\"lost_lines\":{lost}}}\n").as_bytes(),
            );
        }
        // Where standard error is gone, so is the log.
        let _ = io::stderr().write_all(&lines);
    }
}

/// Writes the rest when dropped.
pub(crate) struct LogThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It only fails if writing the log panicked; then there is no log to say so.
            let _ = thread.join();
        }
    }
}

/// Starts logging as configured; keep what is returned until the end.
pub(crate) fn start(format: Option<LogFormat>, filter: &str) -> io::Result<Option<LogThread>> {
    let is_terminal = io::stderr().is_terminal();
    let usual = if is_terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    let format = format.unwrap_or(usual);
    if format == LogFormat::Off {
        return Ok(None);
    }
    let buffer = Buffer::default();
    let into = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(move || into.clone())
        .with_target(false);
    match format {
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .init(),
        LogFormat::Text | LogFormat::Off => subscriber.with_ansi(false).init(),
    }
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            while stopped.recv_timeout(WRITE_EVERY) == Err(RecvTimeoutError::Timeout) {
                buffer.drain();
            }
            buffer.drain();
        })?;
    Ok(Some(LogThread {
        stop: Some(stop),
        thread: Some(thread),
    }))
}
