//! The web server that everybody asks: as a process of its own, so that what it costs is nobody's, or as threads that
//! note who asked when.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use ha::lab::{Host, Process, World};

use super::common::Result;

/// The argument of a process that is only a server.
pub(crate) const ALONE: &str = "--serve";

/// Serves until whoever wants it is gone.
pub(crate) fn alone() -> ! {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap();
    loop {
        let _ = listener.accept().map(|(stream, _)| answer(stream));
    }
}

/// Starts it on a node.
pub(crate) fn start_alone(world: &World, node: Host) -> Result<Process> {
    let log = world.directory(node)?.join("server.log");
    Ok(Process::start(world.netns(node), &std::env::current_exe()?, &[ALONE.to_owned()], &log)?)
}

/// The path that was asked for.
fn answer(stream: TcpStream) -> Option<String> {
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    (&stream).write_all(answer.as_bytes()).ok()?;
    first.split(' ').nth(1).map(str::to_owned)
}

/// When each path was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visits(Arc<Mutex<BTreeMap<String, Vec<Instant>>>>);

impl Visits {
    /// Serves on a node, by threads of this process.
    pub(crate) fn serve(world: &World, node: Host) -> Result<Self> {
        let visits = Self::default();
        let listener = world.netns(node).run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)))??;
        let log = visits.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, at) = (log.clone(), Instant::now());
                thread::spawn(move || {
                    if let Some(path) = answer(stream) {
                        log.0.lock().unwrap().entry(path).or_default().push(at);
                    }
                });
            }
        });
        Ok(visits)
    }

    /// Between two moments.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> BTreeMap<String, Vec<Instant>> {
        let all = self.0.lock().unwrap();
        let within = |times: &Vec<Instant>| times.iter().copied().filter(|at| (from..to).contains(at)).collect();
        all.iter().map(|(path, times)| (path.clone(), within(times))).collect()
    }
}
