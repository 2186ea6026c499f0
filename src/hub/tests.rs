//! Who counts as there, and for how long what they do not take is kept.

use futures_util::FutureExt as _;

use super::*;

fn listen(hub: &Hub, user: UserId, channel: Channel) -> Subscription {
    hub.subscribe(Subscriber {
        user,
        username: "reader".into(),
        session: None,
        channel,
        room: None,
    })
}

/// A key of so many bytes.
fn key(bytes: usize) -> Event {
    Event::KeyOffered {
        from: UserId(2),
        aes_key: "x".repeat(bytes),
    }
}

/// How many events are kept for a reader who takes none.
fn patience(is_stuck: bool) -> usize {
    let hub = Hub::default();
    let user = UserId(1);
    let mut reader = listen(&hub, user, Channel::Relay);
    let ending = reader.ending.clone();
    let mut over = Box::pin(reader.ended_while_stuck());
    if is_stuck {
        assert_eq!(over.as_mut().now_or_never(), None);
    }
    let is_over = || ending.signal.is_cancelled();
    let mut kept = 0;
    while !is_over() {
        hub.to_user(user, key(0));
        kept += usize::from(!is_over());
    }
    kept
}

#[test]
fn a_reader_who_is_stuck_may_be_256_events_behind_and_one_who_had_no_turn_4096() {
    assert_eq!(patience(true), 256);
    assert_eq!(patience(false), 4_096);
}

/// A word of so many bytes.
fn word(bytes: usize) -> Event {
    Event::Broadcast {
        user: UserId(2),
        username: "somebody".into(),
        text: "x".repeat(bytes),
    }
}

/// Whether a reader who takes nothing is kept after words of these sizes.
fn is_kept_after<const N: usize>(sizes_bytes: [usize; N]) -> bool {
    let hub = Hub::default();
    let user = UserId(1);
    let reader = listen(&hub, user, Channel::SecureIm);
    for bytes in sizes_bytes {
        hub.to_user(user, word(bytes));
    }
    !reader.has_ended()
}

#[test]
fn a_reader_may_be_16_mib_behind_and_a_single_larger_message_passes() {
    assert!(is_kept_after([1 << 20; 16]));
    assert!(!is_kept_after([1 << 20; 17]));
    assert!(is_kept_after([(16 << 20) - 1, 1]));
    assert!(!is_kept_after([(16 << 20) - 1, 2]));
    assert!(is_kept_after([20 << 20]));
    assert!(!is_kept_after([20 << 20, 1]));
}

#[test]
fn what_a_channel_does_not_write_is_not_kept_for_its_readers() {
    for channel in [Channel::ChatRoom, Channel::SecureIm, Channel::Outbox] {
        let hub = Hub::default();
        let user = UserId(1);
        let mut reader = listen(&hub, user, channel);
        for _ in 0..20 {
            hub.to_user(user, key(1 << 20));
        }
        assert_eq!(reader.check(), Ok(()), "{channel:?}");
        assert!(reader.next().now_or_never().is_none(), "{channel:?}");
    }
}

#[test]
fn what_a_reader_has_taken_makes_room_for_more() {
    let hub = Hub::default();
    let user = UserId(1);
    let mut reader = listen(&hub, user, Channel::SecureIm);
    for _ in 0..40 {
        hub.to_user(user, word(1 << 20));
        assert!(reader.next().now_or_never().is_some_and(|it| it.is_ok()));
    }
}

#[test]
fn of_the_rosters_that_wait_for_a_reader_only_the_newest_is_kept() {
    let hub = Hub::default();
    let user = UserId(1);
    let mut reader = listen(&hub, user, Channel::Relay);
    let tell = |id| {
        let (entries, frame) = (vec![(UserId(id), String::new())], None);
        hub.to_channel(Channel::Relay, None, Event::Roster { entries, frame });
    };
    let mut next = || match reader.next().now_or_never() {
        Some(Ok(event)) => match &*event {
            Event::Roster { entries, .. } => entries.first().map(|(id, _)| id.0),
            _ => Some(0),
        },
        _ => None,
    };
    (1..=10_000).for_each(tell);
    hub.to_user(user, key(1));
    tell(10_001);
    assert_eq!((next(), next(), next()), (Some(10_001), Some(0), None));
    tell(10_002);
    assert_eq!((next(), next()), (Some(10_002), None));
}

#[test]
fn who_only_waits_is_not_online() {
    let hub = Hub::default();
    let user = UserId(1);
    let waiting = listen(&hub, user, Channel::Inbox);
    assert!(!hub.is_live(user));
    assert!(hub.live_users().is_empty());
    let socket = listen(&hub, user, Channel::Chat8);
    assert!(hub.is_live(user));
    drop((waiting, socket));
    assert!(!hub.is_live(user));
}

#[test]
fn of_the_relay_sockets_the_newest_that_has_not_ended_is_told() {
    let hub = Hub::default();
    let user = UserId(1);
    let mut older = listen(&hub, user, Channel::Relay);
    let mut newer = listen(&hub, user, Channel::Relay);
    let hears =
        |reader: &mut Subscription| reader.next().now_or_never().is_some_and(|it| it.is_ok());
    hub.to_user(user, key(1));
    assert_eq!((hears(&mut older), hears(&mut newer)), (false, true));
    newer.ending.end(End::SessionEnded);
    hub.to_user(user, key(1));
    assert_eq!((hears(&mut older), hears(&mut newer)), (true, false));
}

#[test]
fn only_secure_im_hears_who_comes_and_goes() {
    for (channel, hears) in [(Channel::SecureIm, true), (Channel::MessageStore, false)] {
        let hub = Hub::default();
        let mut listener = listen(&hub, UserId(1), channel);
        drop(listen(&hub, UserId(2), channel));
        assert_eq!(listener.next().now_or_never().is_some(), hears);
    }
}
