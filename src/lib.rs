//! sealpost: a small, durable store for end-to-end-encrypted messages, behind published APIs.
//!
//! Modules in groups, each depending only on the groups below it (ARCHITECTURE.md has the map):
//! the APIs and what they share ([`api`]), beside them what looks for trouble ([`check`]); the
//! nouns with their use cases and queries ([`users`], [`contacts`], [`rooms`], [`files`], and
//! [`messages`], which uses the others); what is opened once ([`app`]); the database, the data
//! directory, live delivery and what signs, throttles, counts and remembers ([`db`], [`data_dir`], [`hub`],
//! [`presence`], [`signer`]); and the words for it all ([`model`], [`error`], [`config`] and its
//! [`sources`]).
//!
//! The local client ([`agent`]) shares nothing with the server but the wire, how both read a
//! request's method and an integer, and what they say of an address that cannot be had.

pub mod agent;
pub mod api;
pub mod check;

pub mod contacts;
pub mod files;
pub mod messages;
pub mod rooms;
pub mod users;

pub mod app;

mod caches;
pub mod data_dir;
pub mod db;
pub mod hub;
mod incoming;
mod outgoing;
pub mod presence;
pub mod signer;
mod throttle;

mod bind;
pub mod config;
pub mod error;
mod integer;
mod method;
pub mod model;
mod schema;
pub mod sources;
