//! Every line of every file, with what it came to.

use crate::import::ledger::{Fate, Ledger, Place};

/// What is different whatever is written, and on purpose.
const ALWAYS: [&str; 5] = [
    "The address has a lifetime in the kernel: if ha dies or hangs it goes by itself (lease = \"off\" would keep it).",
    "Before ha takes over from a silent node it asks the network whether somebody still has the address (claim).",
    "A check that cannot be made is no success: keepalived serves unchecked where its script is missing or may not be run.",
    "A broken configuration never stops a running ha, and never leaves an address behind.",
    "An address that somebody deletes is put back at once; keepalived gives up all of them and elects anew.",
];

/// The whole text.
pub(in crate::import) fn explain(ledger: &Ledger) -> String {
    let mut text = String::new();
    for (file, read) in ledger.files().iter().enumerate() {
        text += &format!("{}\n", read.path);
        let last = read.lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        for (number, line) in read.lines.iter().take(last).enumerate() {
            let place = Place { file, line: number + 1 };
            let fate = ledger.fate(place).map_or("", Fate::word);
            text += format!("{:>5}  {fate:<8} {}", place.line, ledger.shown(line)).trim_end();
            text.push('\n');
            for note in ledger.notes(place).iter().filter(|note| !note.text.is_empty()) {
                let word = if Some(note.fate) == ledger.fate(place) { "" } else { note.fate.word() };
                let colon = if word.is_empty() { "" } else { ": " };
                text += &format!("{:>16}{word}{colon}{}\n", "-> ", ledger.masked(&note.text));
            }
        }
        text.push('\n');
    }
    text += "Different from keepalived in any case, on purpose:\n";
    for line in ALWAYS {
        text += &format!("  * {line}\n");
    }
    let counted =
        [Fate::Mapped, Fate::Dropped, Fate::Refused].map(|fate| format!("{} {}", ledger.count(fate), fate.word()));
    text += &format!("\nLines: {}.\n", counted.join(", "));
    text
}
