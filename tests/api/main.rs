//! The black-box tests: the built program, real sockets, a world of its own for each test.
//!
//! Everything is asked over the wire and judged by what comes back; nothing is imported from the
//! crate. With `DATABASE_URL=postgres://…` the same tests run on PostgreSQL, each world in a
//! database of its own on that server.

mod world;

mod chat8;
mod chat_room;

mod message_store_access;
mod message_store_accounts;
mod message_store_bodies;
mod message_store_events;
mod message_store_grants;
mod message_store_load;
mod message_store_messages;
mod message_store_pages;
mod message_store_retries;
mod message_store_shared;
mod message_store_throttle;

mod agent;
mod agent_accounts;
mod agent_guard;
mod agent_keys;
mod agent_link;
mod agent_real;
mod agent_start;
mod agent_waiting;
mod agent_world;
mod encommunication;
mod ended_logins;
mod one_store;
mod password_changes;
mod relay_stub;
mod requests;
mod secure_im;
mod slow_readers;
mod sockets;

mod model_property;
mod permission_matrix;

mod durability;
mod full_disk;
mod in_doubt;
mod internal_errors;
mod operations;
mod operations_advice;
mod operations_backup;
mod operations_check;
mod operations_refused;
mod operations_restore;
mod operations_settings;
mod operations_start;
mod several_servers;
mod synced;

mod tidy;
