//! How a socket ends: with which close frame, and how long that may take to leave.

use std::io;
use std::time::Duration;

use rocket::data::IoStream;
use rocket::futures::SinkExt;
use rocket_ws::Message;
use rocket_ws::frame::{CloseCode, CloseFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Rules, Socket};
use crate::hub::End;
use crate::outgoing::Held;

/// How long a close frame may take to leave.
const PARTING: Duration = Duration::from_secs(1);
/// The same for a reader who fell behind, and is to know it when it goes on reading.
const PARTING_WITH_SLOW: Duration = Duration::from_secs(60);
/// The code for them, and where there is no room (RFC 6455's registry: try again later).
pub(super) const TRY_LATER: u16 = 1013;
pub(super) const NO_ROOM: Farewell = Farewell::new(TRY_LATER, "no room for long messages now");
/// How much a peer may still send that has not seen our close frame yet, and for how long.
const DRAINED_BYTES: u64 = 64 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// Our close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    code: u16,
    reason: &'static str,
    /// How long it may take to leave.
    patience: Duration,
}

impl Farewell {
    pub(super) const fn new(code: u16, reason: &'static str) -> Self {
        Farewell {
            code,
            reason,
            patience: PARTING,
        }
    }

    pub(super) fn of(end: End, rules: Rules) -> Self {
        match end {
            End::SessionEnded => Farewell::new(rules.session_ended, "logged out"),
            End::Replaced => Farewell::new(rules.session_ended, "a newer login took over"),
            End::Expired => Farewell::new(rules.session_ended, "the token has expired"),
            End::Lagged => Farewell {
                patience: PARTING_WITH_SLOW,
                ..Farewell::new(TRY_LATER, "fell behind")
            },
            End::Shutdown => Farewell::new(rules.shutdown, "the server stops"),
        }
    }
}

/// Says goodbye. A peer that does not take it within a moment is simply dropped.
///
/// What is `held` of a reader who fell behind is kept for them while nobody needs the room.
pub(super) async fn part(mut socket: Socket, farewell: Option<Farewell>, held: Option<Held>) {
    // What has come of a message goes with the socket, in a moment. If it counted until then, of all
    // who send at once none would find room.
    socket.get_mut().unfinished.settle(usize::MAX);
    let Some(farewell) = farewell else {
        // The library has the answer to a peer's close frame ready; it leaves with a flush.
        let _ = timeout(PARTING, socket.flush()).await;
        return;
    };
    let close = CloseFrame {
        code: CloseCode::from(farewell.code),
        reason: farewell.reason.into(),
    };
    let close = timeout(farewell.patience, socket.send(Message::Close(Some(close))));
    let said = match held {
        Some(held) => held.during(close).await,
        None => Ok(close.await),
    };
    if matches!(said, Ok(Ok(Ok(())))) {
        // However it goes on, all is said.
        let _ = timeout(DRAINED_FOR, drain(socket.get_mut().stream())).await;
    }
}

/// Hears a peer out. A connection that is dropped with bytes unread is reset, and the peer, still
/// sending, would never see the close frame.
async fn drain(connection: &mut IoStream) -> io::Result<()> {
    connection.shutdown().await?;
    let mut rest = connection.take(DRAINED_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_fell_behind_is_waited_for_at_parting() {
        let rules = Rules {
            longest_bytes: 0,
            session_ended: 1008,
            shutdown: TRY_LATER,
            unreadable: None,
        };
        let patience = |end| Farewell::of(end, rules).patience;
        assert_eq!(patience(End::Lagged), PARTING_WITH_SLOW);
        for end in [End::Shutdown, End::Replaced, End::SessionEnded] {
            assert_eq!(patience(end), PARTING, "{end:?}");
        }
    }
}
