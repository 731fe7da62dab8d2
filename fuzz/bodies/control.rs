//! What a client of the control socket may send: it gets one answer of HTTP, or its connection is closed.

use std::sync::LazyLock;

use ha::control::{Feed, Request, server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, Runtime},
    sync::mpsc,
};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

pub(crate) fn run(data: &[u8]) {
    let answer = RUNTIME.block_on(talk(data));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
}

/// The client says what it has, hangs up its end, and listens.
async fn talk(data: &[u8]) -> Vec<u8> {
    let (mut client, server) = UnixStream::pair().unwrap();
    let (requests, mut asked) = mpsc::channel::<Request>(1);
    let feed = Feed::default();
    let mut answer = Vec::new();
    let client = async {
        // A server that has refused what it read so far reads no more.
        let _ = client.write_all(data).await;
        client.shutdown().await.unwrap();
        let _ = client.read_to_end(&mut answer).await;
    };
    // A daemon that answers nobody: each request is dropped, and what it wanted with it.
    let daemon = async { while asked.recv().await.is_some() {} };
    let served = async {
        server::serve_connection(server, &requests, &feed).await;
        drop(requests);
    };
    tokio::join!(client, served, daemon);
    answer
}
