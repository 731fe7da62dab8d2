//! memory, load, cpu, pressure, time_sync: of the machine that runs this test, whatever it is.

use ha::policy::probe::{
    CpuRequest, ErrorKind, Field, LoadRequest, MemoryRequest, PressureRequest, ProbeKind, Resource, TimeSyncRequest,
};

use super::{World, assert_outcome, float, request};

#[test]
fn memory_and_load_have_limits() {
    let world = World::new();
    let memory = |min_available_pct| world.probe(&request(ProbeKind::Memory(MemoryRequest { min_available_pct })));
    let outcome = memory(None);
    assert!(outcome.ok, "{outcome:?}");
    assert!(
        (0.0..=100.0).contains(&float(&outcome, "available_pct"))
            && (0.0..=100.0).contains(&float(&outcome, "swap_pct"))
    );
    let outcome = memory(Some(100.0));
    let why = format!("{:.1} % available, less than 100 %", float(&outcome, "available_pct"));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, &why);

    let load = |max_per_cpu| world.probe(&request(ProbeKind::Load(LoadRequest { max_per_cpu })));
    assert!(load(None).ok && load(Some(10_000.0)).ok);
    assert!(float(&load(None), "load1") >= float(&load(None), "per_cpu"));
}

#[test]
fn the_first_look_at_the_processors_takes_two() {
    let world = World::new();
    let cpu = || world.probe(&request(ProbeKind::Cpu(CpuRequest)));
    for _ in 0..2 {
        let outcome = cpu();
        assert!(outcome.ok, "{outcome:?}");
        assert!((0.0..=100.0).contains(&float(&outcome, "busy")));
    }
}

#[test]
fn pressure_is_told_or_the_kernel_measures_none_and_that_is_no_information() {
    for (resource, name) in [(Resource::Cpu, "cpu"), (Resource::Memory, "memory"), (Resource::Io, "io")] {
        let wanted = PressureRequest { resource, max_some10: Some(100.0), max_full10: Some(100.0) };
        let outcome = World::new().probe(&request(ProbeKind::Pressure(wanted)));
        if std::fs::read_to_string(format!("/proc/pressure/{name}")).is_ok() {
            assert!(outcome.ok && (0.0..=100.0).contains(&float(&outcome, "some10")), "{outcome:?}");
        } else {
            assert!(outcome.blind, "{outcome:?}");
        }
    }
}

#[test]
fn the_clock_is_what_the_kernel_says_and_without_a_kernel_nothing() {
    let world = World::new();
    let outcome = world.probe(&request(ProbeKind::TimeSync(TimeSyncRequest)));
    assert_outcome(&outcome, false, ErrorKind::Internal, "nobody here may ask the kernel for its clock");
    assert_eq!(outcome.fields["synced"], Field::Unit);

    let told = |status| {
        let world = World::new();
        world.prober.read_time_by(status);
        world.probe(&request(ProbeKind::TimeSync(TimeSyncRequest)))
    };
    assert_outcome(&told(|| Ok((true, -0.0021))), true, ErrorKind::None, "synchronised, 2.1 ms off");
    let why = "not synchronised: does chrony, ntpd or systemd-timesyncd run?";
    assert_outcome(&told(|| Ok((false, 0.0))), false, ErrorKind::Mismatch, why);
    let denied = told(|| Err(std::io::Error::from_raw_os_error(1)));
    assert_outcome(&denied, false, ErrorKind::Denied, "the kernel's clock: operation not permitted");
}
