//! `vrrp_script`.

use super::{Globals, globals::with_group, last, sorted, value};
use crate::import::{
    keyword::Context,
    ledger::{Ledger, Place},
    tree::Node,
};

/// The shortest interval of a policy, in microseconds.
pub(in crate::import) const INTERVAL_MIN: u64 = 50_000;

/// The most that a rule counts to: `fall` and `rise` of a policy.
const COUNT_MAX: i64 = 1000;

/// A check as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Script {
    pub(in crate::import) name: String,
    pub(in crate::import) place: Place,
    /// Where its command stands.
    pub(in crate::import) command_at: Place,
    pub(in crate::import) command: String,
    /// In microseconds.
    pub(in crate::import) interval: u64,
    /// In microseconds.
    pub(in crate::import) timeout: u64,
    pub(in crate::import) weight: Weight,
    pub(in crate::import) rise: i64,
    pub(in crate::import) fall: i64,
    /// `user`, or `user:group`.
    pub(in crate::import) user: Option<String>,
    pub(in crate::import) comments: Vec<String>,
}

/// What a check does to the priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::import) struct Weight {
    /// 0: it decides whether the node may serve at all.
    pub(in crate::import) number: i64,
    /// The other way around.
    pub(in crate::import) reverse: bool,
}

/// Reads one block.
pub(in crate::import) fn script(node: &Node, globals: &Globals, ledger: &mut Ledger) -> Option<Script> {
    let read = sorted(Context::Script, node.inner(), ledger);
    let Some(command) = last("script", &read, ledger) else {
        ledger.refused(
            node.place,
            "there is no script in it, and keepalived removes the check: write one, or remove the block",
        );
        return None;
    };
    let quoted = command.words.get(1).is_some_and(|word| word.quoted);
    if command.words.len() > 2 && !quoted {
        let what = format!("without quotes keepalived runs {} without its arguments", command.text(1));
        ledger.refused(command.place, format!("{what}: put the whole command into quotes"));
    } else if command.words.len() > 2 {
        ledger.dropped(command.place, "keepalived ignores what follows the quoted command");
    }
    let seconds = |keyword: &str, ledger: &mut Ledger| {
        let node = last(keyword, &read, ledger)?;
        let micros = value::seconds(node, 1_000, 86_400_000_000, ledger)?;
        ledger.mapped(node.place, "");
        if keyword == "interval" && micros < INTERVAL_MIN {
            ledger.mapped(node.place, "ha makes no check more often than every 50ms, and makes this one that often");
        }
        Some(micros)
    };
    let count = |keyword: &str, ledger: &mut Ledger| {
        let node = last(keyword, &read, ledger)?;
        let number = value::number(node, 1, 100_000, ledger)?;
        if number > COUNT_MAX {
            let what = format!("ha counts to {COUNT_MAX} at most, keepalived to {number} here");
            ledger.refused(node.place, format!("{what}: write a lower one, and a longer interval if it takes so long"));
        }
        ledger.mapped(node.place, format!("{keyword}: {number}"));
        Some(number)
    };
    let interval = seconds("interval", ledger).unwrap_or(1_000_000);
    let timeout = seconds("timeout", ledger).unwrap_or(interval);
    let user = last("user", &read, ledger).map(|node| {
        ledger.mapped(node.place, "");
        with_group(node.text(1), node.text(2))
    });
    let weight = last("weight", &read, ledger).map(|node| {
        ledger.mapped(node.place, "");
        weight(node, 1, 253, ledger)
    });
    ledger.mapped(node.place, "");
    let mut comments = node.comments.clone();
    comments.extend(node.trailing.clone());
    comments.extend(node.inner().iter().flat_map(Node::all_comments));
    Some(Script {
        name: node.text(1).to_owned(),
        place: node.place,
        command_at: command.place,
        command: command.text(1).to_owned(),
        interval,
        timeout,
        weight: weight.unwrap_or_default(),
        rise: count("rise", ledger).unwrap_or(1),
        fall: count("fall", ledger).unwrap_or(1),
        user: user.or_else(|| globals.user_of_scripts()),
        comments,
    })
}

/// `W`, `W reverse`, from the word at this position.
pub(super) fn weight(node: &Node, at: usize, most: i64, ledger: &mut Ledger) -> Weight {
    let text = node.text(at);
    let number = text.parse::<i64>().ok().filter(|number| (-most..=most).contains(number));
    if number.is_none() {
        let what = format!("\"{text}\" is not a weight from -{most} to {most}");
        ledger.refused(node.place, format!("{what}: keepalived reports it; write the one that is meant"));
    }
    Weight { number: number.unwrap_or(0), reverse: node.text(at + 1) == "reverse" }
}
