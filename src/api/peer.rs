//! Where a request comes from: its address, and whether that is this machine.

use std::net::IpAddr;
use std::sync::Arc;

use rocket::http::uri::Host;
use rocket::request::{FromRequest, Outcome, Request};

use super::http::is_origin_allowed;
use crate::app::App;

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

const FORWARDING_HEADERS: [&str; 3] = ["X-Forwarded-For", "Forwarded", "X-Real-IP"];

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Peer {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let app = request
            .rocket()
            .state::<Arc<App>>()
            .expect("every server has its App");
        let remote = request.remote();
        let direct = remote.map(|address| address.ip());
        let headers = request.headers();
        let is_forwarded = FORWARDING_HEADERS
            .iter()
            .any(|name| headers.contains(*name));
        let is_from_page = headers.contains("Origin") && !is_origin_allowed(app, request);
        Outcome::Success(Peer {
            ip: forwarded_for(app, request, direct).or(direct),
            port: remote.map(|address| address.port()),
            is_local: direct.is_some_and(is_loopback)
                && !is_forwarded
                && !is_from_page
                && request.host().is_none_or(is_local_name),
        })
    }
}

/// The last address of `X-Forwarded-For` that is not a trusted proxy's, if one of those told it.
fn forwarded_for(app: &App, request: &Request<'_>, direct: Option<IpAddr>) -> Option<IpAddr> {
    let trusted = &app.config.trusted_proxies;
    direct.filter(|ip| trusted.contains(ip))?;
    let hops: Vec<&str> = request
        .headers()
        .get("X-Forwarded-For")
        .flat_map(|value| value.split(','))
        .collect();
    hops.iter()
        .rev()
        .filter_map(|hop| hop.trim().parse().ok())
        .find(|ip| !trusted.contains(ip))
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
