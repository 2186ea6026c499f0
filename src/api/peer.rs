//! Where a request comes from: its address, and whether that is this machine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rocket::http::uri::Host;
use rocket::request::{FromRequest, Outcome, Request};

use super::http::is_origin_allowed;
use crate::app::App;
use crate::config::Auth;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The client's address; a trusted proxy's word for it counts.
    pub(crate) ip: Option<IpAddr>,
    /// The client's TCP source port.
    pub(crate) port: Option<u16>,
    /// From this machine itself, not forwarded, and not sent by some web page: what protected
    /// mode trusts without a token.
    pub(crate) is_local: bool,
}

impl Peer {
    /// Whether a call from there needs no token.
    pub(crate) fn is_trusted(&self, auth: Auth) -> bool {
        match auth {
            Auth::Open => true,
            Auth::Protected => self.is_local,
            Auth::Token => false,
        }
    }
}

/// Whether a proxy has added this header. One is enough: of what a client has begun and a proxy has
/// appended to, Rocket drops all that is not UTF-8, and others of these say it still.
fn tells_of_a_proxy(name: &str) -> bool {
    const PREFIX: &str = "X-Forwarded-";
    let start = name.get(..PREFIX.len()).unwrap_or_default();
    start.eq_ignore_ascii_case(PREFIX)
        || ["Forwarded", "Via", "X-Real-IP"]
            .iter()
            .any(|other| name.eq_ignore_ascii_case(other))
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Peer {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let app = app_of(request);
        let remote = request.remote();
        let direct = remote.map(|address| address.ip());
        let headers = request.headers();
        let is_forwarded = headers
            .iter()
            .any(|header| tells_of_a_proxy(header.name().as_str()));
        // A page's pictures and links come without `Origin`.
        let is_embedded = headers
            .get_one("Sec-Fetch-Site")
            .is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let is_from_page = if headers.contains("Origin") {
            !is_origin_allowed(app, request)
        } else {
            is_embedded
        };
        Outcome::Success(Peer {
            ip: forwarded_for(app, request, direct),
            port: remote.map(|address| address.port()),
            is_local: direct.is_some_and(is_loopback)
                && !is_forwarded
                && !is_from_page
                && request.host().is_some_and(is_local_name),
        })
    }
}

/// Whether the page that asks, if it is a page, may: for sockets, which browsers open to anywhere.
pub(crate) struct FromAllowedOrigin(pub(crate) bool);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for FromAllowedOrigin {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(FromAllowedOrigin(is_origin_allowed(
            app_of(request),
            request,
        )))
    }
}

fn app_of<'r>(request: &'r Request<'_>) -> &'r App {
    let app = request.rocket().state::<Arc<App>>();
    app.expect("every server has its App")
}

/// The last address of `X-Forwarded-For` that is not a trusted proxy's, or the first that only
/// trusted ones told. What stands before an entry that cannot be read is nobody's word.
fn forwarded_for(app: &App, request: &Request<'_>, direct: Option<IpAddr>) -> Option<IpAddr> {
    let trusted = &app.config.trusted_proxies;
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|proxy| proxy.to_canonical() == *ip);
    let hops: Vec<&str> = request
        .headers()
        .get("X-Forwarded-For")
        .flat_map(|value| value.split(','))
        .collect();
    let mut hops = hops.into_iter().rev();
    // A socket for both families tells of 127.0.0.1 as ::ffff:127.0.0.1.
    let mut ip = direct?.to_canonical();
    while is_trusted(&ip) {
        match hops.next().and_then(address_of_hop) {
            Some(before) => ip = before.to_canonical(),
            None => break,
        }
    }
    Some(ip)
}

/// An address as proxies write it, perhaps with a port.
fn address_of_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let with_port = hop.parse().map(|address: SocketAddr| address.ip());
    with_port
        .or_else(|_| hop.trim_matches(['[', ']']).parse())
        .ok()
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// A name that no foreign web site can make point here (DNS rebinding).
fn is_local_name(host: &Host<'_>) -> bool {
    let name = host.domain().as_str();
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    is_address || name.eq_ignore_ascii_case("localhost") || name.ends_with(".localhost")
}
