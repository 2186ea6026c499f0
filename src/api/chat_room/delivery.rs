//! What goes over one connection: bytes in, lines out, and events on their way to a member.
//!
//! Knows nothing of requests. Nobody waits here for a reader that has stopped: the hub ends a
//! subscription that is too far behind, and a write that is stuck ends with it, or by itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::Lines;
use super::reply::Frame;
use crate::hub::{End, Event, Subscription};
use crate::model::{MessageId, Room, UserId};

/// How long a peer may take to read a piece.
const STUCK: Duration = Duration::from_secs(60);
/// A piece. A list of all users has any length, and a slow peer that reads on may have all of it.
const PIECE_BYTES: usize = 32 << 10;
/// How long a peer may take to hear why it is cut off.
const PARTING: Duration = Duration::from_secs(1);
/// Lines that wait are written together, up to about this much.
const TOGETHER_BYTES: usize = 32 << 10;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Gone {
    /// The peer has left, or does not read, or is not worth another word.
    Peer,
    /// What the member listened to is over.
    Ended(End),
    /// It is told why.
    Refused(Frame),
    /// The server stops.
    Shutdown,
}

impl From<io::Error> for Gone {
    /// Every failure of a socket is the peer's leave: there is nobody to tell.
    fn from(_: io::Error) -> Self {
        Gone::Peer
    }
}

/// One connection's bytes.
pub(super) struct Link<S> {
    stream: S,
    /// What has arrived and is not used yet.
    pub(super) lines: Lines,
    /// When the last bytes came.
    pub(super) arrived: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(stream: S) -> Self {
        Link {
            stream,
            lines: Lines::default(),
            arrived: Instant::now(),
        }
    }

    /// Waits for more bytes. Nothing is lost if this is dropped half-way.
    pub(super) async fn fill(&mut self) -> Result<(), Gone> {
        let count = self.stream.read_buf(self.lines.space()).await?;
        self.arrived = Instant::now();
        if count == 0 { Err(Gone::Peer) } else { Ok(()) }
    }

    /// Bytes as they are, at least one and at most `buffer` has room for; first those that came
    /// behind the last line. Nothing is lost if this is dropped half-way.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Gone> {
        let early = self.lines.take(buffer.len());
        if !early.is_empty() {
            buffer[..early.len()].copy_from_slice(&early);
            return Ok(early.len());
        }
        let count = self.stream.read(buffer).await?;
        self.arrived = Instant::now();
        if count == 0 {
            Err(Gone::Peer)
        } else {
            Ok(count)
        }
    }

    /// Writes all of it, unless the peer reads too little for too long.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        write_within(STUCK, &mut self.stream, bytes).await
    }

    pub(super) async fn write_frame(&mut self, frame: &Frame) -> Result<(), Gone> {
        let mut lines = Vec::new();
        frame.write_to(&mut lines);
        self.write(&lines).await
    }

    /// Says why, if there is something to say, and closes. What the peer has sent meanwhile is
    /// read and forgotten, since closing over it would take the last word back.
    pub(super) async fn part(mut self, gone: Gone) {
        let last_word = match gone {
            Gone::Peer | Gone::Shutdown | Gone::Ended(End::Lagged | End::Shutdown) => None,
            Gone::Refused(frame) => Some(frame),
            Gone::Ended(End::Replaced) => Some(Frame::system(
                "warning",
                "您的账号已在其他地方登录，此连接将被关闭",
            )),
            Gone::Ended(End::SessionEnded | End::Expired) => {
                Some(Frame::system("warning", "登录已失效，请重新登录"))
            }
        };
        let Some(frame) = last_word else { return };
        let parted = async {
            self.write_frame(&frame).await?;
            self.stream.shutdown().await?;
            let mut rest = vec![0; 4 << 10];
            while self.stream.read(&mut rest).await? > 0 {}
            Ok::<(), Gone>(())
        };
        // A peer that goes on sending is simply dropped.
        let _ = timeout(PARTING, parted).await;
    }
}

/// Writes piece by piece, each of them in time.
async fn write_within(
    time: Duration,
    stream: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> Result<(), Gone> {
    for piece in bytes.chunks(PIECE_BYTES) {
        let written = timeout(time, async {
            stream.write_all(piece).await?;
            stream.flush().await
        });
        written.await.map_err(|_| Gone::Peer)??;
    }
    Ok(())
}

/// Who is logged in on a connection, and what they hear.
pub(super) struct Member {
    pub(super) id: UserId,
    /// Their current room.
    pub(super) room: Room,
    /// Before this nothing is pushed, unless they ask for something first.
    pub(super) quiet_until: Option<Instant>,
    events: Subscription,
    /// The newest message that the history of their room had, if it had any. What is older was shown
    /// there, or is before what was shown.
    shown_up_to: Option<MessageId>,
}

impl Member {
    pub(super) fn new(id: UserId, room: Room, events: Subscription) -> Self {
        Member {
            id,
            room,
            quiet_until: None,
            events,
            shown_up_to: None,
        }
    }

    /// Hears a room from now on, and the one before no more.
    pub(super) fn enter(&mut self, room: Room) {
        self.events.enter(Some(room.id));
        self.room = room;
        self.shown_up_to = None;
    }

    /// Notes up to which message they have seen the history of their room.
    pub(super) fn has_seen(&mut self, newest: Option<MessageId>) {
        self.shown_up_to = newest;
    }

    pub(super) async fn next_event(&mut self) -> Result<Arc<Event>, Gone> {
        self.events.next().await.map_err(Gone::Ended)
    }

    /// Fails once there will be no more events, whatever is still waiting.
    pub(super) fn check(&self) -> Result<(), Gone> {
        self.events.check().map_err(Gone::Ended)
    }

    /// Resolves when there will be no more events.
    pub(super) async fn ended(&mut self) {
        self.events.ended_while_stuck().await;
    }

    /// Appends an event as its line, if it has one.
    pub(super) fn write_event(&self, event: &Event, lines: &mut Vec<u8>) {
        let Event::Said { message, line, .. } = event else {
            return;
        };
        // What waits may be of the room before, or of an earlier stay in this one. Within a room ids
        // are in the order of commits, so what the history could not show has a greater one.
        if message.room_id == Some(self.room.id) && Some(message.id) > self.shown_up_to {
            lines.extend_from_slice(line.get_or_init(|| Frame::line_of(event)));
        }
    }

    /// Waits for the next event and returns its line, with those of others that wait already.
    /// Nothing is lost if this is dropped while it waits.
    pub(super) async fn pushes(&mut self) -> Result<Vec<u8>, Gone> {
        if let Some(end) = self.quiet_until {
            sleep_until(end).await;
            self.quiet_until = None;
        }
        let mut lines = Vec::new();
        let event = self.next_event().await?;
        self.write_event(&event, &mut lines);
        while lines.len() < TOGETHER_BYTES
            && let Some(Ok(event)) = self.next_event().now_or_never()
        {
            self.write_event(&event, &mut lines);
        }
        Ok(lines)
    }

    /// The lines up to and including the one of this message, which is on its way already.
    pub(super) async fn pushes_up_to(&mut self, own: MessageId) -> Result<Vec<u8>, Gone> {
        let mut lines = Vec::new();
        loop {
            let event = self.next_event().await?;
            self.write_event(&event, &mut lines);
            if matches!(&*event, Event::Said { message, .. } if message.id == own) {
                return Ok(lines);
            }
        }
    }
}

/// [`Member::pushes`], or for ever nothing while nobody is logged in.
pub(super) async fn pushes_to(member: &mut Option<Member>) -> Result<Vec<u8>, Gone> {
    match member {
        Some(member) => member.pushes().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Channel, Hub, Subscriber};
    use crate::model::{self, Kind, Message, PUBLIC_ROOM};

    const PIECES: usize = 8;
    const TIME: Duration = Duration::from_secs(1);

    /// What becomes of a long line to a peer that reads so many pieces, each a while after the other.
    async fn write_to_reader_of(pieces: usize) -> Result<(), Gone> {
        let (mut ours, mut peer) = tokio::io::duplex(PIECE_BYTES / 2);
        let reader = async {
            let mut piece = vec![0; PIECE_BYTES];
            for _ in 0..pieces {
                tokio::time::sleep(TIME / 5).await;
                peer.read_exact(&mut piece).await.expect("a piece");
            }
        };
        let line = vec![0; PIECES * PIECE_BYTES];
        let (written, ()) = tokio::join!(write_within(TIME, &mut ours, &line), reader);
        written
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_gets_all_and_one_that_stops_is_gone() {
        assert!(write_to_reader_of(PIECES).await.is_ok());
        assert!(write_to_reader_of(PIECES - 1).await.is_err());
    }

    fn said(id: i64) -> Event {
        let message = Message {
            id: MessageId(id),
            sender_id: UserId(2),
            recipient_id: None,
            room_id: Some(PUBLIC_ROOM),
            kind: Kind::Text,
            content: "hello".into(),
            is_encrypted: false,
            sender_key: None,
            recipient_key: None,
            sent_at: model::Instant::now(),
            edited_at: None,
            read_at: None,
        };
        let (sender, room) = ("bob".into(), "public".into());
        let line = std::sync::OnceLock::new();
        Event::Said {
            message: message.into(),
            sender,
            room,
            line,
        }
    }

    /// Which of the messages 1 to 4, all of which wait, are said behind a history.
    async fn said_behind(newest: Option<i64>) -> Vec<i64> {
        let hub = Hub::default();
        let room = Room {
            id: PUBLIC_ROOM,
            name: "public".into(),
            created_at: model::Instant::now(),
        };
        let events = hub.subscribe(Subscriber {
            user: UserId(1),
            username: "alice".into(),
            session: None,
            channel: Channel::ChatRoom,
            room: Some(PUBLIC_ROOM),
        });
        let mut member = Member::new(UserId(1), room.clone(), events);
        hub.to_room(PUBLIC_ROOM, said(1));
        member.enter(room);
        for id in 2..=4 {
            hub.to_room(PUBLIC_ROOM, said(id));
        }
        member.has_seen(newest.map(MessageId));
        let lines = member.pushes().await.expect("it is there");
        let lines = String::from_utf8(lines).expect("JSON");
        let id = |line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["message_id"].as_i64()
        };
        lines.lines().filter_map(id).collect()
    }

    #[tokio::test]
    async fn behind_a_history_comes_what_is_newer_and_nothing_of_before() {
        assert_eq!(said_behind(Some(3)).await, [4]);
        assert_eq!(said_behind(None).await, [1, 2, 3, 4]);
    }
}
