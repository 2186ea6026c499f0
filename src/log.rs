//! Log lines on standard error, without making requests wait for it.
//!
//! Lines gather in memory and one thread writes them some times a second: waking a thread for each
//! line would cost a tenth of the sends. A reader of the log that cannot keep up loses lines,
//! never slows a request; how many were lost is said in the log itself.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpost::config::LogFormat;
use tracing_subscriber::EnvFilter;

const WRITE_EVERY: Duration = Duration::from_millis(50);
/// How long the end waits for the last lines to be taken.
const LAST_WORDS: Duration = Duration::from_secs(1);
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
        let Waiting { lines, lost } = self.take();
        if lost > 0 {
            // Gathers for the next time, as a line like any other. It is an error so that no
            // filter that lets lines through leaves it out.
            tracing::error!(lost_lines = lost, "the log was read too slowly");
        }
        // Where standard error is gone, so is the log.
        let _ = io::stderr().write_all(&lines);
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes the rest when dropped, if somebody reads it.
pub(crate) struct LogThread {
    stop: Option<Sender<()>>,
    /// Nothing comes from here; it closes when the thread has ended.
    ended: Receiver<()>,
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.stop.take();
        // Whoever holds the other end of standard error may have stopped reading for good.
        let _ = self.ended.recv_timeout(LAST_WORDS);
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
    let (running, ended) = channel();
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            let _running: Sender<()> = running;
            while stopped.recv_timeout(WRITE_EVERY) == Err(RecvTimeoutError::Timeout) {
                buffer.drain();
            }
            buffer.drain();
            // What the one before has added.
            buffer.drain();
        })?;
    Ok(Some(LogThread {
        stop: Some(stop),
        ended,
    }))
}
