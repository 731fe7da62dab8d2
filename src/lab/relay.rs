//! Between a server and whoever asks it: what is asked arrives at once, and every answer takes as long as it is told to.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    netns::Netns,
    service::{listen_at, spawn},
    trouble::Result,
};

/// Nobody says nothing for so long: it is gone without a word.
const GONE: Duration = Duration::from_secs(30);

/// See the module. It works as long as the lab lives.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    takes: Arc<Mutex<Duration>>,
}

impl Relay {
    /// Listens at these places of a machine for a server on the same machine; nothing takes any time yet.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start(netns: &Netns, places: impl IntoIterator<Item = SocketAddr>, server: SocketAddr) -> Result<Self> {
        let relay = Self::default();
        for place in places {
            let relay = relay.clone();
            listen_at(netns, place, move |stream| relay.pass(&stream, server))?;
        }
        Ok(relay)
    }

    /// How long an answer takes from now on, counted from what was asked last.
    pub fn take(&self, time: Duration) {
        *self.takes.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    fn takes(&self) -> Duration {
        *self.takes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, to its end. Where there is no server it is closed at once.
    fn pass(&self, client: &TcpStream, server: SocketAddr) -> io::Result<()> {
        let server = TcpStream::connect(server)?;
        for stream in [client, &server] {
            stream.set_read_timeout(Some(GONE))?;
            stream.set_nodelay(true)?;
        }
        let asked_at = Arc::new(Mutex::new(Instant::now()));
        let (from, to, noted) = (client.try_clone()?, server.try_clone()?, Arc::clone(&asked_at));
        spawn("questions", move || {
            // Whoever goes without a word has nothing more to ask.
            let _ = carry(&from, &to, || *noted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now());
            let _ = to.shutdown(Shutdown::Write);
        })?;
        let carried = carry(&server, client, || {
            let asked_at = *asked_at.lock().unwrap_or_else(PoisonError::into_inner);
            thread::sleep((asked_at + self.takes()).saturating_duration_since(Instant::now()));
        });
        // The other thread ends with it.
        let _ = client.shutdown(Shutdown::Both);
        carried
    }
}

/// From one to the other until there is nothing more; `before` is done before each piece goes on.
fn carry(mut from: &TcpStream, mut to: &TcpStream, before: impl Fn()) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { return Ok(()) };
        before();
        to.write_all(piece)?;
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc};

    use super::*;

    /// A server that says what it was asked, and answers with the same.
    fn relayed(relay: &Relay) -> (TcpStream, mpsc::Receiver<Vec<u8>>) {
        let listener = |_| TcpListener::bind("127.0.0.1:0").unwrap();
        let [server, front] = [(), ()].map(listener);
        let (at, front_at) = (server.local_addr().unwrap(), front.local_addr().unwrap());
        let (told, asked) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                told.send(buffer[..length].to_vec()).unwrap();
                stream.write_all(&buffer[..length]).unwrap();
            }
        });
        let relay = relay.clone();
        thread::spawn(move || relay.pass(&front.accept().unwrap().0, at));
        (TcpStream::connect(front_at).unwrap(), asked)
    }

    fn ask(stream: &mut TcpStream) -> Duration {
        let began = Instant::now();
        stream.write_all(b"who").unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"who");
        began.elapsed()
    }

    #[test]
    fn an_answer_is_never_sooner_than_it_is_told_and_the_question_is_there_at_once() {
        let relay = Relay::default();
        let (mut client, asked) = relayed(&relay);
        ask(&mut client);
        relay.take(Duration::from_millis(120));
        assert!(ask(&mut client) >= Duration::from_millis(120));
        // One that nobody waits for is asked all the same.
        relay.take(Duration::from_secs(3600));
        client.write_all(b"all").unwrap();
        let all: Vec<u8> = std::iter::from_fn(|| asked.recv().ok()).take(3).flatten().collect();
        assert_eq!(all, b"whowhoall");
    }
}
