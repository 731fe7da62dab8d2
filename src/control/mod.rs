//! The control protocol over a Unix socket: its own serialisable types, the server, the client.
