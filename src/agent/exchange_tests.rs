//! The exchange, rule by rule, and two of them against each other.

use super::*;

fn key(byte: u8) -> AesKey {
    AesKey::from_bytes(&[byte; 32]).expect("32 bytes")
}

fn offered(steps: &[Step]) -> AesKey {
    match steps {
        [Step::Offer(key)] => key.clone(),
        other => panic!("expected one offer, got {other:?}"),
    }
}

fn texts(steps: &[Step]) -> Vec<&str> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Send(text, _) => Some(text.as_str()),
            Step::Offer(_) => None,
        })
        .collect()
}

#[test]
fn the_first_message_waits_for_the_same_key_to_come_back() {
    let now = Instant::now();
    let mut ours = Exchange::new(false);
    let mine = offered(&ours.send("one".into(), true, now));
    assert_eq!(ours.send("two".into(), true, now), []);
    let steps = ours.key_frame(mine.clone(), now);
    assert_eq!(
        steps,
        [
            Step::Send("one".into(), mine.clone()),
            Step::Send("two".into(), mine.clone())
        ]
    );
    assert_eq!(ours.key(), Some((&mine, true)));
    assert_eq!(
        ours.send("three".into(), true, now),
        [Step::Send("three".into(), mine)]
    );
}

#[test]
fn a_key_from_the_peer_is_adopted_and_answered() {
    let now = Instant::now();
    for mut ours in [
        Exchange::new(true),
        Exchange::restored(true, key(1), false),
        Exchange::restored(false, key(1), true),
    ] {
        assert_eq!(ours.key_frame(key(2), now), [Step::Offer(key(2))]);
        assert_eq!(ours.key(), Some((&key(2), true)));
    }
}

#[test]
fn of_two_offers_the_higher_id_yields_at_once() {
    let now = Instant::now();
    let mut higher = Exchange::new(true);
    higher.send("hi".into(), true, now);
    assert_eq!(
        higher.key_frame(key(9), now),
        [Step::Offer(key(9)), Step::Send("hi".into(), key(9))]
    );
}

#[test]
fn of_two_offers_the_lower_id_waits_a_second_for_its_own() {
    let start = Instant::now();
    let mut lower = Exchange::new(false);
    let mine = offered(&lower.send("hi".into(), true, start));
    assert_eq!(lower.key_frame(key(9), start), []);
    assert_eq!(lower.due(), Some(start + YIELD_AFTER));
    assert_eq!(lower.tick(start + YIELD_AFTER / 2), []);

    // Its own confirmation comes in time …
    let steps = lower.key_frame(mine.clone(), start + YIELD_AFTER / 2);
    assert_eq!(steps, [Step::Send("hi".into(), mine)]);

    // … or it does not.
    let mut lower = Exchange::new(false);
    lower.send("hi".into(), true, start);
    lower.key_frame(key(9), start);
    assert_eq!(
        lower.tick(start + YIELD_AFTER),
        [Step::Offer(key(9)), Step::Send("hi".into(), key(9))]
    );
}

#[test]
fn two_agents_that_start_at_once_end_with_one_key() {
    let now = Instant::now();
    let (mut low, mut high) = (Exchange::new(false), Exchange::new(true));
    let from_low = offered(&low.send("from low".into(), true, now));
    let from_high = offered(&high.send("from high".into(), true, now));
    assert_eq!(low.key_frame(from_high, now), []);
    let steps = high.key_frame(from_low.clone(), now);
    assert_eq!(texts(&steps), ["from high"]);
    assert_eq!(
        texts(&low.key_frame(from_low.clone(), now)),
        ["from low"],
        "the answer confirms"
    );
    assert_eq!(low.key(), Some((&from_low, true)));
    assert_eq!(high.key(), Some((&from_low, true)));
}

#[test]
fn a_peer_that_answers_without_a_key_frame_confirms_by_its_message() {
    let now = Instant::now();
    let mut ours = Exchange::new(false);
    let mine = offered(&ours.send("hi".into(), true, now));
    assert_eq!(ours.opened(&key(5)), []);
    assert_eq!(texts(&ours.opened(&mine)), ["hi"]);

    let mut ours = Exchange::new(false);
    ours.send("hi".into(), true, now);
    assert_eq!(texts(&ours.bare_confirmation()), ["hi"]);
}

#[test]
fn a_peer_that_answers_nothing_gets_the_message_after_three_seconds() {
    let now = Instant::now();
    let mut ours = Exchange::new(true);
    ours.send("hi".into(), true, now);
    assert_eq!(ours.tick(now + PATIENCE / 2), []);
    assert_eq!(texts(&ours.tick(now + PATIENCE)), ["hi"]);
    assert_eq!(ours.due(), None);
}

#[test]
fn an_absent_peer_is_written_to_at_once_and_offered_the_same_key_later() {
    let now = Instant::now();
    let mut ours = Exchange::new(true);
    let steps = ours.send("letter".into(), false, now);
    let [Step::Send(_, mine)] = steps.as_slice() else {
        panic!("expected a message, got {steps:?}")
    };
    assert_eq!(offered(&ours.send("hi".into(), true, now)), *mine);
}

#[test]
fn a_peer_that_leaves_before_it_answers_still_gets_the_queue() {
    let now = Instant::now();
    let mut ours = Exchange::new(true);
    ours.send("hi".into(), true, now);
    assert_eq!(texts(&ours.left()), ["hi"]);
}

#[test]
fn an_offer_is_repeated_over_a_new_link() {
    let now = Instant::now();
    let mut ours = Exchange::new(true);
    let mine = offered(&ours.send("hi".into(), true, now));
    assert_eq!(offered(&ours.reconnected(now)), mine);
}

#[test]
fn a_peer_that_restarted_with_its_key_is_answered_but_not_for_ever() {
    let now = Instant::now();
    let mut ours = Exchange::restored(true, key(1), true);
    assert_eq!(ours.key_frame(key(1), now), [Step::Offer(key(1))]);
    assert_eq!(ours.key_frame(key(1), now), []);
    assert_eq!(
        ours.key_frame(key(1), now + ANSWER_EVERY),
        [Step::Offer(key(1))]
    );
}

#[test]
fn a_message_nobody_can_open_makes_an_offer() {
    let now = Instant::now();
    let mut ours = Exchange::new(true);
    offered(&ours.unopened(now));
    assert_eq!(ours.unopened(now), []);
}

#[test]
fn nothing_goes_out_while_the_public_key_is_in_doubt() {
    let now = Instant::now();
    let mut ours = Exchange::restored(true, key(1), true);
    ours.hold();
    assert_eq!(ours.send("hi".into(), true, now), []);
    assert_eq!(ours.key_frame(key(2), now), []);
    assert_eq!(ours.finish(), []);
    ours.forget();
    let fresh = offered(&ours.release(true, now));
    assert_ne!(fresh, key(1), "the old key is not used again");
    assert_eq!(texts(&ours.key_frame(fresh, now)), ["hi"]);
}
