//! The socket of somebody online.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rocket::http::Status;
use rocket::{Route, get, routes};
use rocket_ws::{Channel, Message, WebSocket};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use super::{Caller, Links, Stub};

pub(super) fn routes() -> Vec<Route> {
    routes![chat]
}

#[get("/chat?<ids>")]
fn chat(
    stub: &Stub,
    caller: Caller,
    ids: bool,
    socket: WebSocket,
) -> Result<Channel<'static>, Status> {
    let stub = Arc::clone(stub.inner());
    if stub.lock().expect("the relay").links == Links::Refused {
        return Err(Status::ServiceUnavailable);
    }
    Ok(socket.channel(move |mut stream| {
        Box::pin(async move {
            let (sender, mut frames) = unbounded_channel();
            {
                let mut inner = stub.lock().expect("the relay");
                inner.sockets.insert(caller.0, sender.clone());
                if ids {
                    inner.with_ids.insert(caller.0);
                }
                inner.tell_roster();
            }
            loop {
                while stub.lock().expect("the relay").links == Links::Still {
                    sleep(Duration::from_millis(10)).await;
                }
                tokio::select! {
                    frame = frames.recv() => match frame.flatten() {
                        Some(frame) => stream.send(Message::Text(frame)).await?,
                        None => break,
                    },
                    message = stream.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            let lives = stub.lock().expect("the relay").take(caller.0, &text);
                            if !lives {
                                break;
                            }
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => {}
                    },
                }
            }
            let mut inner = stub.lock().expect("the relay");
            let own = inner.sockets.get(&caller.0);
            if own.is_some_and(|own| own.same_channel(&sender)) {
                inner.sockets.remove(&caller.0);
            }
            inner.tell_roster();
            Ok(())
        })
    }))
}
