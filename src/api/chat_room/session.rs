//! One connection from its first byte to its last: who is logged in, and what each request does.
//!
//! Requests are answered one after the other. A reply is held until a moment after its request,
//! since the published client sends first and only then begins to wait; what others say is not
//! held. What a reply says is worked out in `accounts` and `answers`; files are in `transfer`.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::delivery::{Gone, Link, Member, pushes_to};
use super::frame::{self, Credentials, NamedRoom, Problem, Request, Saying, TooLong};
use super::reply::{Account, Frame, Refusal};
use super::{accounts, answers};
use crate::api::http::log_if_internal;
use crate::api::observe::Metrics;
use crate::app::App;
use crate::error::Error;
use crate::hub::{Channel, Subscriber};
use crate::messages;
use crate::model::{Message, PUBLIC_ROOM, Room};
use crate::rooms;
use crate::users::login::{self, Login};

/// How long after its request a reply may leave (chat_room §2, rule 3).
const REPLY_AFTER: Duration = Duration::from_millis(8);
/// How long a connection may go without a login.
const LOGIN_DUE: Duration = Duration::from_secs(60);
/// How long nothing is pushed behind a login's reply, so that simple clients read it alone
/// (chat_room §2, rule 4).
const QUIET: Duration = Duration::from_millis(50);
/// How many messages entering a room shows.
const HISTORY: i64 = 50;

/// What has become of a request: a frame, or why not.
pub(super) type Answer = Result<Frame, Refusal>;

/// A connection and who uses it.
pub(super) struct Session<S> {
    pub(super) app: Arc<App>,
    pub(super) metrics: Metrics,
    pub(super) ip: IpAddr,
    pub(super) link: Link<S>,
    pub(super) member: Option<Member>,
    login_due: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(app: Arc<App>, metrics: Metrics, ip: IpAddr, stream: S) -> Self {
        let login_due = Instant::now() + LOGIN_DUE;
        Session {
            app,
            metrics,
            ip,
            link: Link::new(stream),
            member: None,
            login_due,
        }
    }

    /// Serves until either side is gone.
    pub(super) async fn run(mut self) {
        let gone = loop {
            match self.next_line().await {
                // Boxed, so that an idle connection does not keep room for the largest request.
                Ok(line) => {
                    if let Err(gone) = Box::pin(self.react(line)).await {
                        break gone;
                    }
                }
                Err(gone) => break gone,
            }
        };
        drop(self.member);
        self.link.part(gone).await;
    }

    /// The next line; pushes go out meanwhile. Of a login that is over there is none, however many
    /// have come.
    async fn next_line(&mut self) -> Result<String, Gone> {
        loop {
            self.check_login()?;
            if let Some(line) = self.link.lines.next_line() {
                let refused = |TooLong| Gone::Refused(Frame::Error(Refusal::new(1008, "消息过长")));
                return line.map(str::to_owned).map_err(refused);
            }
            // In no order: a busy room must not keep its members from asking.
            tokio::select! {
                () = self.app.shutdown.cancelled() => return Err(Gone::Shutdown),
                lines = pushes_to(&mut self.member) => self.write(&lines?).await?,
                filled = self.link.fill() => filled?,
                () = sleep_until(self.login_due), if self.member.is_none() => return Err(Gone::Peer),
            }
        }
    }

    async fn react(&mut self, line: String) -> Result<(), Gone> {
        let parsed = frame::parse(&line);
        drop(line);
        self.metrics
            .room_messages
            .with_label_values(&[parsed.kind])
            .inc();
        if let Some(member) = &mut self.member {
            member.quiet_until = None;
        }
        match parsed.request {
            Err(problem) => self.reply(Err(refusal_of(problem))).await,
            Ok(Request::Register(credentials)) => {
                let account = accounts::register(&self.app, credentials).await;
                self.reply(Ok(Frame::Registered(account))).await
            }
            Ok(Request::LogIn(credentials)) => self.log_in(credentials).await,
            Ok(Request::LogOut) => self.log_out().await,
            Ok(_) if self.member.is_none() => self.reply(Err(Refusal::new(1001, "请先登录"))).await,
            Ok(request) => self.react_to_member(request).await,
        }
    }

    async fn react_to_member(&mut self, request: Request) -> Result<(), Gone> {
        let member = self.member()?;
        let app = &self.app;
        let answer = match request {
            Request::Say(saying) => return self.say(saying).await,
            Request::EnterRoom(named) => return self.enter(named).await,
            Request::Upload(offer) => return self.upload(offer).await,
            Request::Download(id) => return self.download(&id).await,
            Request::UserInfo => answers::user_info(app, member),
            Request::ListUsers(list) => answers::list_users(app, member, list),
            Request::ListRooms(list) => answers::list_rooms(app, member, list),
            Request::CreateRoom(room) => answers::create(app, member, room).await,
            Request::JoinRoom(named) => answers::join(app, member, named).await,
            Request::ListFiles(room) => answers::list_files(app, member, room),
            Request::AskAi => Err(Refusal::new(1009, "AI功能未启用")),
            Request::Administer => Ok(Frame::Administered { success: false }),
            // Answered before anybody asks who is logged in.
            Request::Register(_) | Request::LogIn(_) | Request::LogOut => return Err(Gone::Peer),
        };
        self.reply(answer).await
    }

    /// A success takes the place of whoever was logged in on this connection, and of the same
    /// account's login on any other.
    async fn log_in(&mut self, credentials: Credentials) -> Result<(), Gone> {
        let arrival = accounts::log_in(&self.app, credentials, self.ip).await;
        self.hold().await?;
        let frame = match arrival.and_then(|(login, room)| self.admit(login, room)) {
            Err(account) => Frame::LoggedIn {
                account,
                current_chat_group: None,
            },
            Ok(frame) => frame,
        };
        self.write_frame(frame).await
    }

    /// Makes somebody the member, unless their password has changed since it was checked.
    fn admit(&mut self, login: Login, room: Room) -> Result<Frame, Account> {
        let events = self.app.hub.subscribe(Subscriber {
            user: login.user.id,
            username: login.user.username.clone(),
            session: None,
            channel: Channel::ChatRoom,
            room: Some(PUBLIC_ROOM),
        });
        // Looked at behind the subscription, which a change of the password from now on ends.
        login::check_again(&self.app, &login).map_err(accounts::refused)?;
        self.member = None;
        events.replace_older();
        let frame = accounts::logged_in(&login.user, &room);
        let mut member = Member::new(login.user.id, room, events);
        member.quiet_until = Some(Instant::now() + QUIET);
        self.member = Some(member);
        Ok(frame)
    }

    async fn log_out(&mut self) -> Result<(), Gone> {
        self.hold().await?;
        // Only for whoever was logged in: nobody else may put their deadline off.
        if self.member.take().is_some() {
            self.login_due = Instant::now() + LOGIN_DUE;
        }
        self.write_frame(Frame::system("info", "已成功登出")).await
    }

    /// Says something in a room; the echo is the only answer.
    async fn say(&mut self, saying: Saying) -> Result<(), Gone> {
        let member = self.member()?;
        let said = match answers::draft(&self.app, member, saying) {
            Ok(draft) => self.send(draft).await?,
            Err(refusal) => Err(refusal),
        };
        match said {
            Ok(()) => Ok(()),
            Err(refusal) => self.reply(Err(refusal)).await,
        }
    }

    /// Sends to a room and shows the sender what was sent, whether it is their current room or
    /// not; a refusal is still to be told.
    pub(super) async fn send(
        &mut self,
        draft: messages::Draft,
    ) -> Result<Result<(), Refusal>, Gone> {
        let room = draft.to.room_name().to_owned();
        let sender = draft.sender_name.clone();
        match messages::send(&self.app, draft).await {
            Ok(message) => self.echo(&message, &sender, &room).await.map(Ok),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn echo(&mut self, message: &Message, sender: &str, room: &str) -> Result<(), Gone> {
        let member = self.member.as_mut().ok_or(Gone::Peer)?;
        let mut lines = Vec::new();
        if message.room_id == Some(member.room.id) {
            lines = member.pushes_up_to(message.id).await?;
        } else if let Some(frame) = Frame::said(message, sender, room) {
            frame.write_to(&mut lines);
        }
        self.write(&lines).await
    }

    /// Makes a room the current one. Its history is read after the first event that is heard of
    /// it, so that nothing is missed in between.
    async fn enter(&mut self, named: NamedRoom) -> Result<(), Gone> {
        let member = self.member()?;
        let room = match answers::room_to_enter(&self.app, member, named) {
            Ok(room) => room,
            Err(refusal) => return self.reply(Err(refusal)).await,
        };
        self.hold().await?;
        let member = self.member.as_mut().ok_or(Gone::Peer)?;
        let before = member.room.clone();
        let mut lines = Vec::new();
        Frame::Entered((&room).into()).write_to(&mut lines);
        let id = room.id;
        member.enter(room);
        match rooms::history(&self.app, id, HISTORY) {
            Ok(said) => {
                for frame in said
                    .iter()
                    .filter_map(|(message, sender)| Frame::remembered(message, sender))
                {
                    frame.write_to(&mut lines);
                }
                member.has_seen(said.last().map(|(message, _)| message.id));
                let complete = Frame::HistoryComplete {
                    chat_group_id: id,
                    message_count: said.len(),
                };
                complete.write_to(&mut lines);
                self.write(&lines).await
            }
            Err(error) => {
                member.enter(before);
                self.reply(Err(error.into())).await
            }
        }
    }

    /// Who is logged in, where somebody must be: to go on without them would be to say nothing to
    /// a client that waits.
    pub(super) fn member(&self) -> Result<&Member, Gone> {
        self.member.as_ref().ok_or(Gone::Peer)
    }

    /// Fails if the login is over; while there is none, it is not.
    pub(super) fn check_login(&self) -> Result<(), Gone> {
        self.member.as_ref().map_or(Ok(()), Member::check)
    }

    /// Writes an answer when its time has come.
    pub(super) async fn reply(&mut self, answer: Answer) -> Result<(), Gone> {
        self.hold().await?;
        self.write_frame(answer.unwrap_or_else(Frame::Error)).await
    }

    /// Waits until a reply to what came last may leave; pushes go out meanwhile.
    pub(super) async fn hold(&mut self) -> Result<(), Gone> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.link.arrived + REPLY_AFTER) => return Ok(()),
                lines = pushes_to(&mut self.member) => self.write(&lines?).await?,
            }
        }
    }

    pub(super) async fn write_frame(&mut self, frame: Frame) -> Result<(), Gone> {
        let mut lines = Vec::new();
        frame.write_to(&mut lines);
        // A list of all users is megabytes long, and a slow reader takes it for hours.
        drop(frame);
        lines.shrink_to_fit();
        self.write(&lines).await
    }

    /// Writes, unless the member's events end meanwhile: a stuck reader must not keep them. What
    /// is cut off then may end inside a line, so nothing more can be said.
    pub(super) async fn write(&mut self, lines: &[u8]) -> Result<(), Gone> {
        if lines.is_empty() {
            return Ok(());
        }
        let Session {
            app, link, member, ..
        } = self;
        let held = app.outgoing.hold(lines.len());
        let ended = async {
            match member {
                Some(member) => member.ended().await,
                None => pending().await,
            }
        };
        tokio::select! {
            // In this order: the second is only asked while the first makes no progress.
            biased;
            written = held.during(link.write(lines)) => written.unwrap_or(Err(Gone::Peer)),
            () = ended => Err(Gone::Peer),
        }
    }
}

fn refusal_of(problem: Problem) -> Refusal {
    match problem {
        Problem::Malformed => Refusal::new(1008, "消息格式错误"),
        Problem::UnknownType(kind) => Refusal::new(1008, format!("未知的消息类型: {kind}")),
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        log_if_internal(&error);
        let (code, text) = super::wording(&error);
        Refusal::new(code, text)
    }
}
