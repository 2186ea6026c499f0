//! What the benchmark's programs share.
//!
//! - [`plan`]: the file of prepared requests that the load generator replays
//! - [`response`]: just enough HTTP/1.1 to know when a response ends and what it says
//! - [`connection`]: a non-blocking connection that never waits for the peer
//! - [`websocket`]: the handshake, and where frames end
//! - [`latency`]: exact percentiles of many durations
//!
//! Nothing here knows a route of any API, and nothing here is part of the server.

pub mod connection;
pub mod latency;
pub mod plan;
pub mod response;
pub mod websocket;
