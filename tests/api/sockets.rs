//! What every API's socket has in common: how it ends.

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::chat8::{Live, Someone};
use crate::world::World;

/// The socket of each API, opened by the same user.
fn sockets_of_all_apis(alice: &Someone) -> Vec<(&'static str, Live)> {
    let open = |api, path: &str| {
        let path = format!("{path}?token={}", alice.token);
        let live = Live::open(alice.world, &path, &[]);
        (api, live.expect("the socket opens"))
    };
    vec![
        open("chat8", &format!("/ws/{}", alice.id)),
        open("secure_im", "/ws"),
        open("encommunication", "/chat"),
    ]
}

#[test]
fn a_client_that_closes_hears_its_own_code() {
    let world = World::start();
    let alice = Someone::new(&world, "alice");
    for (api, mut live) in sockets_of_all_apis(&alice) {
        live.send(Message::Close(Some(CloseFrame {
            code: 4321.into(),
            reason: "bye".into(),
        })));
        assert_eq!(live.closing_code(), Some(4321), "{api}");
    }
}
