//! Faults inside a machine: what stands still, what there is no room for, and news that are lost. The same figures as of the other
//! faults, and after some of them the web fails, to see whether anybody still looks.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    thread,
    time::Duration,
};

use ha::lab::memory::Memory;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use rustix::process::{Resource, Rlimit, prlimit};

use super::{
    faults::{LASTS, check, told, without_check},
    scenes::{NODE1, Scene, alike, worker},
};
use crate::common::{Maker, Result, pair::Pair, table::Figure};

pub(crate) const WEDGES: [Scene; 6] = [
    Scene {
        name: "wedged-thread",
        title: "the thread that runs the protocol stands still for 10 s (ptrace), the process lives",
        plan: alike,
        play: wedged_thread,
    },
    Scene { name: "wedged-check", title: "the check never ends by itself", plan: alike, play: wedged_check },
    Scene { name: "disk-full", title: "the disk with the state is full", plan: alike, play: disk_full },
    Scene {
        name: "no-memory",
        title: "the worker gets no more memory for 20 s (RLIMIT_AS)",
        plan: alike,
        play: no_memory,
    },
    Scene {
        name: "oom",
        title: "the kernel's OOM killer ends the worker, in a control group whose memory is used up",
        plan: alike,
        play: oom,
    },
    Scene {
        name: "overrun",
        title: "the address is deleted while 500 others come and go and the worker is stopped for a moment",
        plan: alike,
        play: overrun,
    },
];

/// One thread stands still, and the rest of its process goes on: `ha` has others, keepalived's child has none.
fn wedged_thread(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let thread = Pid::from_raw(protocol_thread(pair)?);
    let begin = |_: &mut Pair| -> Result<()> {
        ptrace::seize(thread, ptrace::Options::empty())?;
        ptrace::interrupt(thread)?;
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
        Ok(())
    };
    told(pair, run, LASTS, begin, |_| Ok(ptrace::detach(thread, None)?))
}

/// The thread of that name, or the only one.
fn protocol_thread(pair: &mut Pair) -> Result<i32> {
    let process = worker(pair)?;
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("comm"))?.trim() == "ha-protocol" {
            return Ok(entry.file_name().to_string_lossy().parse()?);
        }
    }
    match pair.maker(NODE1) {
        Maker::Ha => Err("no thread is called ha-protocol".into()),
        Maker::Keepalived => Ok(process),
    }
}

fn wedged_check(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let path = check(pair);
    let endless = match pair.maker(NODE1) {
        Maker::Ha => "fn check() { loop {} }\n",
        Maker::Keepalived => "#!/bin/sh\nwhile :; do :; done\n",
    };
    without_check(pair, run, || Ok(fs::write(path, endless)?))
}

/// A full file system lies over the directory of the state; what is open in it stays open.
fn disk_full(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let state = pair.daemons[0].directory().join("state");
    let (netns, there) = (pair.world.netns(NODE1), state.clone());
    netns.run(move || fill(&there))??;
    let figures = without_check(pair, run, || Ok(()));
    pair.world.netns(NODE1).run(move || umount2(&state, MntFlags::MNT_DETACH))??;
    figures
}

/// To be called where the daemon's file systems are.
fn fill(state: &PathBuf) -> io::Result<()> {
    fs::create_dir_all(state)?;
    mount(Some("tmpfs"), state, Some("tmpfs"), MsFlags::empty(), Some("size=4k,mode=700"))?;
    let mut file = fs::File::create(state.join("full"))?;
    while file.write_all(&[0; 1024]).is_ok() {}
    Ok(())
}

/// What the worker has it keeps; every wish for more is refused.
fn no_memory(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let process = rustix::process::Pid::from_raw(worker(pair)?);
    let limit = |most: Option<u64>| {
        // One that has ended needs no limit any more.
        let _ = prlimit(process, Resource::As, Rlimit { current: most, maximum: None });
    };
    let begin = |_: &mut Pair| -> Result<()> {
        limit(Some(1));
        Ok(())
    };
    let end = |_: &mut Pair| -> Result<()> {
        limit(None);
        Ok(())
    };
    told(pair, run, LASTS * 2, begin, end)
}

/// All of the daemon lives with a bound, as in a unit with `MemoryMax`, and one process of it is chosen.
fn oom(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<Memory> {
        let worker = worker(pair)?;
        let memory = Memory::bounded()?;
        memory.admit(&pair.daemons[0].process().family())?;
        memory.exhaust(worker)?;
        Ok(memory)
    };
    told(pair, run, LASTS, begin, |_| Ok(()))
}

/// More news than the buffer of its netlink socket holds, and one of them matters.
fn overrun(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<()> {
        let process = Pid::from_raw(worker(pair)?);
        kill(process, Signal::SIGSTOP)?;
        pair.world.delete_service_address(NODE1)?;
        let churned = pair.world.churn(NODE1, 500);
        thread::sleep(Duration::from_millis(10));
        kill(process, Signal::SIGCONT)?;
        Ok(churned?)
    };
    told(pair, run, LASTS, begin, |_| Ok(()))
}
