//! The TCP protocol of chat_room, byte by byte: its published examples, its captured exchanges,
//! and what its clients cannot bear.

mod accounts;
mod client;
mod crowds;
mod downloads;
mod examples;
mod faults;
mod limits;
mod operations;
mod rooms;
mod splits;
mod talk;
mod uploads;
