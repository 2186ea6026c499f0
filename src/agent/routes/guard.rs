//! Only this machine, and of its web pages only ours.
//!
//! A request must name the agent in `Host` (a page of another name that resolves here is
//! refused), and an `Origin`, where there is one, must be that same name (so is a page of
//! another site that posts here; under another name of this machine, another program may serve
//! the same port). What a browser marks as coming from another site is refused as well, since
//! a picture of that address would mark messages as read: all but following a link to a page.
//! Local programs send neither `Origin` nor marks and are welcome.

use rocket::fairing::AdHoc;
use rocket::http::uri::Origin;
use rocket::http::{Method, Status};
use rocket::request::Request;
use rocket::{Config, Route, get, routes};

use super::{Refusal, refusal};

const REFUSED: &str = "/refused";

/// Sends every request of a stranger to [`refused`], before any route sees it.
pub(super) fn fairing() -> AdHoc {
    AdHoc::on_request("own host and origin", |request, _| {
        Box::pin(async move {
            if !is_own(request) {
                request.set_method(Method::Get);
                request.set_uri(Origin::const_new(REFUSED, None));
            }
        })
    })
}

/// How much of an answer is sent at once; Rocket's own 4 KiB would make a picture thousands of
/// writes.
const WRITE_BYTES: usize = 64 * 1024;

/// Tells browsers to keep no answer that does not say otherwise: messages are in them, opened.
pub(super) fn forgetting() -> AdHoc {
    AdHoc::on_response("keep nothing", |_, response| {
        Box::pin(async move {
            response.set_max_chunk_size(WRITE_BYTES);
            if !response.headers().contains("Cache-Control") {
                response.set_raw_header("Cache-Control", "no-store");
            }
        })
    })
}

/// The route of this module.
pub(super) fn routes() -> Vec<Route> {
    routes![refused]
}

#[get("/refused")]
fn refused() -> Refusal {
    refusal(Status::Forbidden, "只接受本机页面的请求")
}

fn is_own(request: &Request<'_>) -> bool {
    let Some(host) = request.host().map(ToString::to_string) else {
        return false;
    };
    let origin_is_own = |origin: &str| origin.strip_prefix("http://") == Some(host.as_str());
    is_own_host(&host, request.rocket().config())
        && request.headers().get("Origin").all(origin_is_own)
        && (!is_from_another_site(request) || follows_a_link(request))
}

/// Whether the browser says so; what sends no such mark is no browser, or an old one.
fn is_from_another_site(request: &Request<'_>) -> bool {
    let mut sites = request.headers().get("Sec-Fetch-Site");
    sites.any(|site| ["cross-site", "same-site"].contains(&site))
}

/// Whether the browser shows a page of the agent in place of the other site's, and not in it.
fn follows_a_link(request: &Request<'_>) -> bool {
    let is = |name, value| request.headers().get(name).all(|sent| sent == value);
    let has_mode = request.headers().contains("Sec-Fetch-Mode");
    // The segments are decoded, as those are by which a route is found.
    let mut segments = request.uri().path().segments();
    let is_page = segments.find(|segment| !segment.is_empty()) != Some("api");
    let is_top_level = is("Sec-Fetch-Mode", "navigate") && is("Sec-Fetch-Dest", "document");
    request.method() == Method::Get && has_mode && is_top_level && is_page
}

fn is_own_host(host: &str, config: &Config) -> bool {
    let configured = match config.address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    };
    let name = match host.strip_suffix(&format!(":{}", config.port)) {
        Some(name) => name,
        None if config.port == 80 => host,
        None => return false,
    };
    ["127.0.0.1", "localhost", "[::1]", &configured]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agents_own_names_with_its_port_are_its_own() {
        let config = Config {
            port: 5001,
            ..Config::default()
        };
        for own in [
            "127.0.0.1:5001",
            "localhost:5001",
            "LOCALHOST:5001",
            "[::1]:5001",
        ] {
            assert!(is_own_host(own, &config), "{own}");
        }
        for other in [
            "",
            "localhost",
            "localhost:5000",
            "evil.example:5001",
            "127.0.0.1.evil.example:5001",
            "localhost:5001.evil.example",
            "127.0.0.2:5001",
            "x127.0.0.1:5001",
        ] {
            assert!(!is_own_host(other, &config), "{other}");
        }
    }
}
