//! The TCP listener: one task a connection, no more of them than configured, all gone at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::delivery::{Gone, Link};
use super::reply::{Frame, Refusal};
use super::session::Session;
use crate::api::observe::Metrics;
use crate::app::App;
use crate::bind;
use crate::config::{ChatRoom, Tls};
use crate::error::{Error, Result};

/// How many may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// After an accept that failed, for want of file descriptors perhaps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many of those who are too many are told so at once; more are dropped unheard.
const MOST_TURNED_AWAY: usize = 64;
/// How long connections have to finish what they do when the server stops.
const GRACE: Duration = Duration::from_secs(4);
/// How long a connection is silent before the system asks whether the peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);

/// A listener that has its address.
pub(in crate::api) struct Bound {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// Takes the configured address.
///
/// Errors: an address that cannot be had, a certificate or key that cannot be used.
pub(in crate::api) fn bind(config: &ChatRoom) -> Result<Bound> {
    let tls = config.tls.as_ref().map(acceptor).transpose()?;
    let address = SocketAddr::new(config.address, config.port);
    let listener = listen(address).map_err(|cause| {
        let advice = bind::advice(&cause, ["chat_room.address", "--chat-room-port"]);
        Error::Internal(format!(
            "chat_room cannot listen on {address}: {cause}; {advice}, or --no-chat-room"
        ))
    })?;
    Ok(Bound { listener, tls })
}

/// Whether the certificate and key, if any are configured, can be used.
///
/// Errors: see [`bind`].
pub fn check_tls(config: &ChatRoom) -> Result<()> {
    config.tls.as_ref().map(acceptor).transpose().map(drop)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // So that a restart can have the port that the last run's connections still linger on.
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn acceptor(files: &Tls) -> Result<TlsAcceptor> {
    let problem = |path: &std::path::Path, cause: String| {
        Error::Internal(format!(
            "configuration: chat_room.tls: {}: {cause}",
            path.display()
        ))
    };
    let certs = CertificateDer::pem_file_iter(&files.certs)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|cause| problem(&files.certs, cause.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|cause| problem(&files.key, cause.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::Internal(cause.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|cause| problem(&files.certs, cause.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Bound {
    /// Where it listens.
    pub(in crate::api) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }
}

/// Serves connections until the common end, and waits for those that are there.
pub(in crate::api) async fn serve(bound: Bound, app: Arc<App>, metrics: Metrics) -> Result<()> {
    let places = Arc::new(Semaphore::new(app.config.chat_room.max_connections));
    let lobby = Arc::new(Semaphore::new(MOST_TURNED_AWAY));
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = app.shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = bound.listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    tracing::warn!(%cause, "chat_room: a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Without these it works all the same, only slower or longer.
        let _ = stream.set_nodelay(true);
        let _ = keep_alive(&stream);
        let guest = Guest {
            app: app.clone(),
            metrics: metrics.clone(),
            peer,
            tls: bound.tls.clone(),
        };
        match (
            places.clone().try_acquire_owned(),
            lobby.clone().try_acquire_owned(),
        ) {
            (Ok(place), _) => drop(connections.spawn(guest.admit(stream, place))),
            (Err(_), Ok(place)) => drop(connections.spawn(guest.turn_away(stream, place))),
            (Err(_), Err(_)) => {}
        }
    }
    drop(bound);
    let finished = timeout(GRACE, async {
        while connections.join_next().await.is_some() {}
    });
    if finished.await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "chat_room: connections were cut off"
        );
    }
    Ok(())
}

fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)
}

/// Somebody who has just connected.
struct Guest {
    app: Arc<App>,
    metrics: Metrics,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Guest {
    async fn admit(self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        match &self.tls {
            None => self.serve(stream).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                    Box::pin(self.serve(stream)).await;
                }
            }
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        // A socket for both shows IPv4 addresses as IPv6.
        let ip = self.peer.ip().to_canonical();
        Session::new(self.app, self.metrics, ip, stream).run().await;
    }

    /// Says that there is no room, and closes.
    async fn turn_away(self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        let full = Gone::Refused(Frame::Error(Refusal::new(
            1009,
            "服务器连接数已满，请稍后重试",
        )));
        match &self.tls {
            None => Link::new(stream).part(full).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                    Link::new(stream).part(full).await;
                }
            }
        }
    }
}
