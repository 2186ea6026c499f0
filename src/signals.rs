//! The signals that end the program in order.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` at the first SIGTERM or SIGINT, or at a SIGHUP, which comes when the terminal
/// goes; that one only if nobody has asked to outlive the terminal, as `nohup` does.
pub(crate) fn stop_on(shutdown: CancellationToken) {
    let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
    if !ignores(SignalKind::hangup()) {
        kinds.push(SignalKind::hangup());
    }
    for kind in kinds {
        let shutdown = shutdown.clone();
        match signal(kind) {
            Ok(mut signal) => drop(tokio::spawn(async move {
                signal.recv().await;
                shutdown.cancel();
            })),
            Err(cause) => tracing::error!(?kind, %cause, "a signal cannot be handled"),
        }
    }
}

/// Whether this process was started to ignore a signal; also where the system does not tell.
fn ignores(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}
