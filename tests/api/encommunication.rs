//! The relay, as bare sockets and plain requests see it: every rule of its contract.

mod accounts;
mod closing;
mod frames;
pub(crate) mod people;
mod received;
mod records;
mod roster;
