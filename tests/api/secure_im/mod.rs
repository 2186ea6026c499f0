//! secure_im: the published document's calls, and those of its later clients.

mod person;
mod socket;

mod accounts;
mod broadcast;
mod contacts;
mod errors;
mod mailbox;
mod shared;
mod unread;
mod whereabouts;
