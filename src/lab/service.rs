//! What runs on the nodes beside the daemon: a web server that can be broken on purpose, an echo for the client's
//! stream, and a mail server that keeps what it is given.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    netns::Netns,
    trouble::{Result, Trouble},
    world::{Host, SERVICE_ADDRESS, World},
};

/// UDP port of the echo.
pub const ECHO_PORT: u16 = 7;

/// What a web server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers 200.
    Well,
    /// Answers 500.
    Broken,
    /// Accepts and never answers.
    Hanging,
    /// Hangs up at once.
    Refusing,
}

/// A web server of a node, on port 80 unless told, for as long as the lab lives.
#[derive(Clone, Debug)]
pub struct Web {
    mood: Arc<Mutex<Mood>>,
    requests: Arc<AtomicU64>,
}

impl Web {
    /// Starts it, well.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start(world: &World, host: Host) -> Result<Self> {
        Self::start_at(world, host, 80)
    }

    /// The same on another port.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start_at(world: &World, host: Host, port: u16) -> Result<Self> {
        let web = Self { mood: Arc::new(Mutex::new(Mood::Well)), requests: Arc::default() };
        let server = web.clone();
        listen(world.netns(host), port, move |stream| server.serve(host, stream))?;
        Ok(web)
    }

    /// Changes what it does from the next request on.
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn serve(&self, host: Host, mut stream: TcpStream) -> io::Result<()> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        if mood == Mood::Refusing {
            return Ok(());
        }
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        read_until_empty_line(&stream)?;
        let status = match mood {
            Mood::Well => "200 OK",
            Mood::Broken => "500 Internal Server Error",
            Mood::Hanging => {
                thread::sleep(Duration::from_secs(60));
                return Ok(());
            }
            Mood::Refusing => return Ok(()),
        };
        let body = format!("{host}\n");
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }
}

/// A mail server on port 25 of a node's loopback that keeps every mail.
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    mails: Arc<Mutex<Vec<Mail>>>,
}

/// A mail as it was handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Headers and body.
    pub text: String,
}

impl Mailbox {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start(world: &World, host: Host) -> Result<Self> {
        let mailbox = Self::default();
        let server = mailbox.clone();
        listen(world.netns(host), 25, move |stream| server.serve(stream))?;
        Ok(mailbox)
    }

    /// The mails so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"220 lab\r\n")?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut mail = Mail::default();
        while let Some(line) = lines.next().transpose()? {
            let command = line.to_ascii_uppercase();
            if let Some(from) = command.strip_prefix("MAIL FROM:") {
                from.trim().clone_into(&mut mail.from);
            } else if let Some(to) = command.strip_prefix("RCPT TO:") {
                mail.to.push(to.trim().to_owned());
            } else if command == "DATA" {
                stream.write_all(b"354 go on\r\n")?;
                for text in lines.by_ref() {
                    let text = text?;
                    if text == "." {
                        break;
                    }
                    mail.text.push_str(&text);
                    mail.text.push('\n');
                }
                self.mails.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut mail));
            } else if command == "QUIT" {
                return stream.write_all(b"221 bye\r\n");
            }
            stream.write_all(b"250 ok\r\n")?;
        }
        Ok(())
    }
}

/// Answers the client's stream on the service address, also before the node has it, with the node's number added.
///
/// # Errors
///
/// What the kernel says.
pub fn start_echo(world: &World, host: Host) -> Result<()> {
    let started = world.netns(host).run(move || -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        // The address comes and goes; the socket stays.
        socket.set_freebind_v4(true)?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(SERVICE_ADDRESS, ECHO_PORT)))?;
        let socket = UdpSocket::from(socket);
        let [.., number] = host.address().octets();
        spawn("echo", move || echo(&socket, number))
    })?;
    started.map_err(Trouble::kernel(format!("start the echo of {host}")))
}

fn echo(socket: &UdpSocket, number: u8) {
    let mut buffer = [0; 64];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer)
            && let Some(answer) = buffer.get(..length)
        {
            let answer: Vec<u8> = answer.iter().copied().chain([number]).collect();
            // Without the address there is no way back, and that is what is measured.
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// Serves each connection to `port` on a thread of its own.
fn listen(netns: &Netns, port: u16, serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Result<()> {
    listen_at(netns, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), serve)
}

/// The same at one place only.
pub(super) fn listen_at(
    netns: &Netns,
    place: SocketAddr,
    serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Result<()> {
    let started = netns.run(move || -> io::Result<()> {
        let listener = TcpListener::bind(place)?;
        let serve = Arc::new(serve);
        spawn("server", move || {
            for stream in listener.incoming().flatten() {
                let serve = Arc::clone(&serve);
                // A client that hangs up is no concern of the server's.
                let _ = spawn("request", move || drop(serve(stream)));
            }
        })
    })?;
    started.map_err(Trouble::kernel(format!("listen on port {} of {}", place.port(), netns.name())))
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn read_until_empty_line(stream: &TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    Ok(())
}
