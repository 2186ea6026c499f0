//! What to do about an address that cannot be had, for the server, the agent and `check`.

use std::io::{Error, ErrorKind};

/// What to do about `cause`, which came of binding a port. `address` and `port` are what the
/// settings are called.
pub(crate) fn advice(cause: &Error, [address, port]: [&str; 2]) -> String {
    match cause.kind() {
        ErrorKind::AddrInUse => format!("stop what uses it, or choose another {port}"),
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address; choose another {address}")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 are not for everybody; choose another {port}")
        }
        _ => format!("choose another {address} or {port}"),
    }
}
