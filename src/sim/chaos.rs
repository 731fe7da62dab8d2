//! Chaos: random faults that a real kernel can be made to have too, so that the same story is played in virtual time and by
//! `ha lab --chaos`. What it may do to the address is the [`Promise`](super::Promise)'s.

use std::time::Duration;

use super::{
    Act, Found, Happening, Node, Scenario, Step,
    scenario::{Claim, Expectation},
    storm::{Dice, PAUSE_MS},
};

/// Before it everybody settles.
pub const FOUND: Duration = Duration::from_secs(6);
/// Between two times in which daemons are killed and stopped there is one in which they live on, so that what one process gathers is
/// seen.
const TURN: Duration = Duration::from_secs(120);
/// Now and then all is well for so long that whoever is fit must serve.
const BREATH_MS: u64 = 18_000;
/// What is lost of each hundred packets.
const LOSS: u32 = 30;

/// Random faults, for so long; then calm, and all is well in the end.
#[must_use]
pub fn chaos(nodes: &[Node], seed: u64, length: Duration) -> Scenario {
    let mut dice = Dice::new(seed);
    let mut steps = Vec::new();
    let mut at = FOUND;
    // What mends what is wrong now.
    let mut mends: Vec<Act> = Vec::new();
    while at < FOUND + length {
        if dice.roll(16) == 0 {
            mends.clear();
            steps.push(Step { at, line: 0, what: Happening::Do(Act::Calm) });
            at += Duration::from_millis(BREATH_MS + dice.roll(PAUSE_MS));
            continue;
        }
        let acts = if mends.len() > nodes.len() || !mends.is_empty() && dice.roll(2) == 0 {
            vec![mends.swap_remove(dice.index(mends.len()))]
        } else {
            let lets_live = (at.as_secs() / TURN.as_secs()) % 2 == 1;
            let (acts, mend) = fault(&mut dice, nodes, lets_live);
            mends.extend(mend);
            acts
        };
        steps.extend(acts.into_iter().map(|act| Step { at, line: 0, what: Happening::Do(act) }));
        at += Duration::from_millis(100 + dice.roll(PAUSE_MS));
    }
    let calm = at.max(FOUND + length);
    steps.push(Step { at: calm, line: 0, what: Happening::Do(Act::Calm) });
    let end = calm + Duration::from_secs(1);
    let expectation = Expectation { instance: None, claim: Claim::Well };
    steps.push(Step { at: end, line: 0, what: Happening::Expect(expectation) });
    let kernel_late = Duration::from_secs(1);
    Scenario { seed, nodes: nodes.to_vec(), steps, end, kernel_late, two_at_most: None }
}

/// What goes wrong, and what mends it: about as often as something breaks, for otherwise nobody is left to share an address.
fn fault(dice: &mut Dice, nodes: &[Node], lets_live: bool) -> (Vec<Act>, Option<Act>) {
    let machine = dice.index(nodes.len());
    let other = (machine + 1 + dice.index(nodes.len().saturating_sub(1))) % nodes.len().max(1);
    let start = || Some(Act::Start(machine));
    match dice.roll(if lets_live { 16 } else { 22 }) {
        0..=2 => (vec![Act::Freeze(machine)], Some(Act::Thaw(machine))),
        3 => (vec![Act::Pull(machine, None)], Some(Act::Plug(machine, None))),
        4 => (vec![Act::Mute(machine, true)], Some(Act::Mute(machine, false))),
        5 => (vec![Act::Delete(machine)], None),
        6 => (vec![Act::Filter(machine, other)], Some(Act::Heal)),
        7 => (vec![Act::Filter(machine, other), Act::Filter(other, machine)], Some(Act::Heal)),
        8 => (vec![Act::Cut(machine, other)], Some(Act::Heal)),
        // Both reach the arbiter and the client, and not each other.
        9 => (vec![Act::Cut(machine, other), Act::Cut(other, machine)], Some(Act::Heal)),
        10 => (vec![Act::Isolate(machine)], Some(Act::Heal)),
        11 | 12 => (vec![Act::Loss(LOSS)], Some(Act::Loss(0))),
        13 => (probe(nodes, machine, "http", Found::Down), probe(nodes, machine, "http", Found::Up).pop()),
        14 => (probe(nodes, machine, "ping", Found::Down), probe(nodes, machine, "ping", Found::Up).pop()),
        // What is over before anybody notices, or just after.
        15 => (vec![Act::Freeze(machine), Act::Thaw(machine)], None),
        16 | 17 => (vec![Act::Kill(machine)], start()),
        18 => (vec![Act::KillAll(machine)], start()),
        19 | 20 => (vec![Act::Stop(machine)], start()),
        _ => (vec![Act::PowerOff(machine)], start()),
    }
}

/// What the first policy of a machine finds; nothing where it has none.
fn probe(nodes: &[Node], machine: usize, probe: &str, found: Found) -> Vec<Act> {
    let policy = nodes.get(machine).and_then(|node| node.setup.policies.keys().next());
    let act = policy.map(|policy| Act::Probe { machine, policy: policy.clone(), probe: probe.to_owned(), found });
    act.into_iter().collect()
}
