//! A new master announces as often, and in the rhythm, that is written: what keepalived sends under the same options.

use std::time::{Duration, Instant};

use ha::lab::{Host, Setup, capture::What};

use crate::{
    Need, Story,
    stage::{Stage, pass},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "mixed_announcements_as_keepalived_s", needs: &[Need::Keepalived], seconds: 60, tell: rhythm }];

const ADVERTISE: Duration = Duration::from_millis(200);

fn rhythm(stage: &Stage) {
    let setup = Setup::founding(Host::Node1).version3(ADVERTISE);
    let mut seen = Vec::new();
    for with_ha in [false, true] {
        let begin = Instant::now();
        let mut daemon = if with_ha {
            let options = "announce_repeat = 3\nannounce_delay = \"1s\"\nannounce_refresh = \"0s\"\n";
            stage.ha_with(Host::Node1, &(setup.toml(Host::Node1) + options), &[])
        } else {
            let config = setup.keepalived_conf(Host::Node1, None);
            let options = " garp_master_repeat 3\n garp_master_delay 1\n}\n";
            stage.keepalived_with(Host::Node1, &format!("{}{options}", config.strip_suffix("}\n").unwrap()))
        };
        let held = stage.held_by(&[Host::Node1], 20);
        pass(Duration::from_secs(2));
        let frames = stage.capture.from(Host::Node1, begin, Instant::now());
        let told = frames.iter().filter(|frame| matches!(frame.what, What::GratuitousArp(_)));
        let told: Vec<Instant> = told.map(|frame| frame.at).collect();
        let late = |at: &&Instant| at.saturating_duration_since(held) > Duration::from_millis(500);
        seen.push((told.iter().filter(|at| !late(at)).count(), told.iter().filter(late).count()));
        daemon.terminate().unwrap();
        daemon.process().wait(Duration::from_secs(10)).unwrap();
        stage.held_by(&[], 10);
    }
    assert_eq!(seen[0], (3, 3), "keepalived: at once, and a second later");
    // On a busy machine one may be late, and then two are said at once (20 ms lie between them).
    let (at_once, later) = seen[1];
    assert!((2..=3).contains(&at_once) && (2..=3).contains(&later), "ha: {seen:?}");
}
