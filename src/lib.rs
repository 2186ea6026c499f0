//! sealpost: a small, durable store for end-to-end-encrypted messages, behind published APIs.
//!
//! Modules in reading order, each depending only on those below it (ARCHITECTURE.md has the map):
//! the APIs and what they share ([`api`]); the nouns with their use cases and queries ([`users`],
//! [`contacts`], [`messages`], [`rooms`], [`files`]); what is opened once ([`app`]); the database
//! and live delivery ([`db`], [`hub`], [`presence`]); and the words for it all ([`model`],
//! [`error`], [`config`] and its [`sources`]).
//! Beside all that stands the local client ([`agent`]), which shares nothing with the server but the wire
//! and how both read a request's method.

pub mod agent;
pub mod api;
pub mod check;

pub mod contacts;
pub mod files;
pub mod messages;
pub mod rooms;
pub mod users;

pub mod app;

pub mod db;
pub mod hub;
pub mod presence;
pub mod signer;
mod throttle;

pub mod config;
pub mod error;
mod method;
pub mod model;
mod schema;
pub mod sources;
