//! A scenario of `ha sim`, played with real daemons, real packets and real time: the same file, and what both come to held
//! against each other.
//!
//! The network is the one that the simulation has: what the configurations name, laid with real cables. A node with a configuration
//! of keepalived is run by the real keepalived. What a kernel cannot be made to do is refused before anything starts.

mod actor;
mod census;
mod fit;
mod late;
mod look;
mod network;
mod order;
mod player;
mod standin;
mod switch;
mod verdict;
mod watch;
mod witness;

use std::{
    thread,
    time::{Duration, Instant},
};

use self::{player::Player, verdict::Verdict, watch::Watch};
use super::{
    netns,
    tour::leave::Ending,
    trouble::{Result, Trouble},
    world::World,
};
use crate::sim::{Done, FOUND, Happening, Outcome, Promise, Scenario};

/// The files of a node, as they are copied into the lab.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The configuration.
    pub config: String,
    /// Names and texts of the policies, and of what they import.
    pub policies: Vec<(String, String)>,
    /// Names and texts of the secrets.
    pub secrets: Vec<(String, String)>,
}

/// A scenario with everything that is needed to play it.
#[derive(Clone, Debug)]
pub struct Play {
    /// What happens.
    pub scenario: Scenario,
    /// What came of it in virtual time.
    pub simulated: Outcome,
    /// How much later than in the scenario something expected may become so.
    pub patience: Duration,
    /// It is chaos, and held against what is promised then; else it is held against the simulation.
    pub promise: Option<Promise>,
    /// The files of each node, in order.
    pub files: Vec<Files>,
    /// The files of each reload that names one, by that name.
    pub reloads: Vec<(String, Files)>,
    /// What the policies need.
    pub needs: Needs,
}

/// Why a scenario cannot be played here, each with its line (0: none).
pub use fit::misfits;
pub use standin::{Needs, Said};

/// How much later than in the scenario something expected may become so: processes start, and a machine is busy.
pub const LATE: Duration = Duration::from_millis(1500);

/// What was seen, in order.
#[derive(Debug, Default)]
struct Tale(Vec<(Duration, String)>);

impl Tale {
    fn say(&mut self, at: Duration, text: String) {
        self.0.push((at, text));
    }
}

/// Plays it in throw-away namespaces, prints what happened, and returns the exit code: 0 if all was as expected, 1 if not; 69,
/// 71 and 77 where there can be no lab.
///
/// To be called before the process starts any thread.
#[must_use]
pub fn play(play: &Play) -> i32 {
    match perform(play) {
        Ok(well) => i32::from(!well),
        Err(trouble) => {
            eprintln!("ha lab: {trouble}");
            super::tour::code_of(&trouble)
        }
    }
}

fn perform(play: &Play) -> Result<bool> {
    netns::enter()?;
    let plan = network::plan(&play.scenario.nodes, &play.needs.asked);
    let delayed = network::is_delayed(&play.scenario);
    let world = if delayed { World::build_delayed(plan, play.scenario.seed) } else { World::build_plan(plan) }?;
    let _ending = Ending::watch(world.root().to_owned())?;
    let mut player = Player::new(world, play)?;
    let mut tale = Tale::default();
    let mut unmet = 0;
    let names = play.scenario.names();
    let mut watch = play.promise.clone().map(|promise| Watch::begin(&player, promise)).transpose()?;
    let mut said = standin::said(&play.needs.stand_ins, &play.simulated).into_iter().peekable();
    while let Some(said) = said.next_if(|said| said.at.is_zero()) {
        player.say(&said)?;
    }
    let mut began = player.begin()?;
    if let Some(watch) = &mut watch {
        watch.settle(&mut player)?;
        // What chaos takes for granted by then is so.
        began = Instant::now().checked_sub(FOUND).unwrap_or(began);
    }
    let mut done = Vec::new();
    for step in &play.scenario.steps {
        while let Some(said) = said.next_if(|said| said.at <= step.at) {
            wait_until(began + said.at);
            player.say(&said)?;
        }
        wait_until(began + step.at);
        match &step.what {
            Happening::Do(act) => {
                let from = began.elapsed();
                tale.say(from, format!("-- {}", act.text(&names)));
                player.perform(act)?;
                done.push(Done { from, to: began.elapsed(), act: act.clone() });
                if let Some(watch) = &mut watch {
                    watch.look(&mut player, began);
                }
            }
            Happening::Expect(expectation) => {
                let text = expectation.text(&names);
                let what = text.strip_prefix("expect ").unwrap_or(&text);
                let found = until_so(play.patience, || player.look(expectation));
                unmet += usize::from(found.is_err());
                tale.say(
                    began.elapsed(),
                    match found {
                        Ok(()) => format!("as expected: {what}"),
                        Err(why) => format!("NOT as expected: {what}; {why}"),
                    },
                );
            }
        }
    }
    for said in said.filter(|said| said.at < play.scenario.end) {
        wait_until(began + said.at);
        player.say(&said)?;
    }
    wait_until(began + play.scenario.end);
    let over = (began + play.scenario.end).max(Instant::now());
    let findings = watch.map(|watch| watch.end(&mut player, &done, began, over)).transpose()?;
    let verdict = Verdict::of(play, &player, (began, over), unmet, findings);
    for (address, observer) in player.observers() {
        let what = player.said(address);
        for change in observer.changes().into_iter().filter(|change| change.at <= over) {
            let does = if change.holds { format!("has {what}") } else { format!("has {what} no more") };
            tale.say(change.at.saturating_duration_since(began), format!("{} {does}", player.name(change.node)));
        }
    }
    tale.0.sort_by_key(|(at, _)| *at);
    for (node, policy) in &play.needs.stand_ins {
        println!("{}: policy {policy} says here what it says in the simulation.", player.title(*node));
    }
    for (at, text) in &tale.0 {
        println!("{:>10.3} s  {text}", at.as_secs_f64());
    }
    print!("{}", verdict.text(&names));
    let well = verdict.is_well();
    if !well {
        for host in player.hosts() {
            println!("\nThe log of {}:\n{}", player.name(host), player.log(host));
        }
        if let Some(witness) = &player.witness {
            println!("\nThe end of the log of the witness:\n{}", witness.log());
        }
    }
    Ok(well)
}

fn wait_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// Whether it is so, or becomes so in a moment.
fn until_so(patience: Duration, look: impl Fn() -> std::result::Result<(), String>) -> std::result::Result<(), String> {
    let until = Instant::now() + patience;
    loop {
        match look() {
            Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(50)),
            found => return found,
        }
    }
}

/// A configuration that cannot be run here.
fn unfit(why: &str) -> Trouble {
    Trouble::File { name: "the configuration".to_owned(), why: why.to_owned() }
}

/// A file that should be there.
fn missing(what: &str) -> Trouble {
    Trouble::File { name: what.to_owned(), why: "it is not among the files of the scenario".to_owned() }
}
