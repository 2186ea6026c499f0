//! Many people in one room.

use std::thread;

use super::client::{Client, Rooms, saying};

#[test]
fn ten_people_talk_at_once_and_everybody_hears_everything_once_and_in_one_order() {
    const PEOPLE: usize = 10;
    const EACH: usize = 50;
    let rooms = Rooms::start();
    let mut people: Vec<Client> = (0..PEOPLE)
        .map(|n| rooms.arrive(&format!("user{n}")))
        .collect();
    let heard: Vec<Vec<(i64, String)>> = thread::scope(|scope| {
        let listeners: Vec<_> = people
            .iter_mut()
            .enumerate()
            .map(|(who, client)| {
                scope.spawn(move || {
                    for n in 0..EACH {
                        client.send(&saying(1, &format!("{who}: {n}")));
                    }
                    let frames = client.receive_many(PEOPLE * EACH).into_iter();
                    let heard = frames.map(|frame| {
                        let id = frame["message_id"].as_i64().expect("an id");
                        (id, frame["content"].as_str().expect("text").to_owned())
                    });
                    heard.collect()
                })
            })
            .collect();
        listeners
            .into_iter()
            .map(|listener| listener.join().expect("it hears all"))
            .collect()
    });
    for one in &heard {
        // PostgreSQL gives out ids before it commits.
        assert!(
            one.is_sorted() || rooms.database().is_some(),
            "in the order of the ids"
        );
        assert_eq!(one, &heard[0]);
    }
    for who in 0..PEOPLE {
        let prefix = format!("{who}: ");
        let own = heard[0]
            .iter()
            .filter_map(|(_, content)| content.strip_prefix(&prefix));
        assert!(
            own.eq((0..EACH).map(|n| n.to_string())),
            "each one's own order is kept"
        );
    }
}
