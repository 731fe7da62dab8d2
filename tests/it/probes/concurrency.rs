//! Probes run beside each other.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use ha::policy::probe::{FileRequest, ProbeKind, Prober};

use super::{World, get, request, request_lines, serve};

#[test]
fn ten_probes_of_200_ms_take_200_ms_together() {
    let address = serve(|mut connection| {
        request_lines(&connection);
        thread::sleep(Duration::from_millis(200));
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let world = World::new();
    let request = request(ProbeKind::Http(get(format!("http://{address}/"))));
    let began_at = Instant::now();
    let pending: Vec<_> = (0..10).map(|_| world.prober.start(&request)).collect();
    assert!(began_at.elapsed() < Duration::from_millis(100), "start waits for nothing");
    assert!(pending.iter().all(|pending| pending.recv().unwrap().ok));
    let elapsed = began_at.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_millis(600)).contains(&elapsed), "took {elapsed:?}");
}

#[test]
fn a_prober_whose_runtime_has_ended_disconnects() {
    let world = World::new();
    let prober = world.prober.clone();
    drop(world);
    let pending = prober.start(&request(ProbeKind::File(FileRequest { path: "/".into() })));
    assert!(pending.recv().is_err());
}
