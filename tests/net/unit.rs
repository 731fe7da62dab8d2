//! The unit that is shipped, under a systemd of its own: it starts, reloads, restarts, ends, and so do its drop-ins.
//!
//! Only root can have that, and only where systemd is installed; else it is ignored, with the reason.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use libtest_mimic::{Completion, Failed, Trial};

use crate::{runner, stage::HA};

const NAME: &str = "the_unit_under_a_real_systemd";
const NOT_HERE: i32 = 77;
const SECONDS: u64 = 180;

pub(crate) fn trial() -> Trial {
    Trial::ignorable_test(NAME, || runner::beside_others(NAME, run))
}

fn run() -> Result<Completion, Failed> {
    let here = |file: &str| format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir()?;
    let output = fs::File::create(directory.path().join("boot"))?;
    let mut systemd = Command::new("bash")
        .args([
            here("tests/net/unit/boot.sh"),
            HA.to_owned(),
            here("config/ha.service"),
            here("tests/net/unit/inside.sh"),
        ])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let ended = runner::wait(&mut systemd, Duration::from_secs(SECONDS));
    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    if ended.and_then(|status| status.code()) == Some(NOT_HERE) {
        return Ok(Completion::ignored_with(read("boot").trim().to_owned()));
    }
    let said = read("said");
    if said.is_empty() {
        return Ok(Completion::ignored_with(format!("another systemd does not come up here: {}", read("boot").trim())));
    }
    if said.ends_with("all well\n") {
        return Ok(Completion::Completed);
    }
    Err(format!("{said}\n--- {ended:?}\n{}", read("boot")).into())
}
