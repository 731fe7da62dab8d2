//! The control protocol over a Unix socket: its own serialisable types, the server, the client.
//!
//! HTTP/1.1 with JSON bodies, one request per connection, so that `curl --unix-socket /run/ha/ha.sock http://ha/v1/status`
//! works. Not a web server: no keep-alive, no request bodies, no path that is not listed in [`server`].

pub mod about;
pub mod client;
mod events;
pub mod protocol;
mod query;
pub mod server;
mod stream;

pub use about::{About, Wanted};
pub use client::{Client, Unanswered};
pub use events::{EVENT_SCHEMA, EVENTS_KEPT, FOLLOWERS_MAX, Feed, Happening, What};
pub use protocol::{Clear, Cleared, Reload, Status};
pub use server::{Request, Server};
