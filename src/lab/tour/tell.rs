//! Telling what was shown: text for people as it happens, or one JSON document at the end.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::{
    Options,
    stage::Stage,
    step::{Measure, Outcome, Said, Shown, time},
    steps::STEPS,
};
use crate::lab::world::{Host, PREFIX, SERVICE_ADDRESS};

/// The name and version of the document.
const SCHEMA: &str = "ha.lab/1";
/// Columns of the text.
const WIDTH: usize = 100;
/// Columns before what a line has to say.
const INDENT: usize = 17;
/// What the daemons said, lines per step; the document has all.
const SAID: usize = 8;

/// Tells.
#[derive(Debug)]
pub(super) struct Teller {
    json: bool,
    colour: bool,
    began: Instant,
}

impl Teller {
    pub(super) fn new(options: &Options) -> Self {
        Self { json: options.json, colour: options.colour && !options.json, began: Instant::now() }
    }

    /// Before the first step.
    pub(super) fn begin(&self, stage: &Stage) {
        if self.json {
            return;
        }
        let node = |node: Host| format!("{node} {} ({})", node.address(), stage.cast.daemon(node));
        let other = |host: Host| format!("{host} {}", host.address());
        let title = self.style(Style::new().bold(), "ha lab · the founding pair on this machine");
        let [one, two] = Host::NODES.map(node);
        let (arbiter, client) = (other(Host::Arbiter), other(Host::Client));
        let calls = format!("{client} calls the service address {SERVICE_ADDRESS}/{PREFIX} 500 times a second");
        say(&format!("{title}\n\n  {one}   {two}   {arbiter}\n  {calls}\n\n"));
    }

    /// After a step.
    pub(super) fn step(&self, shown: &Shown, stage: &Stage) {
        stage.progress.clear();
        if !self.json {
            say(&self.text(shown));
        }
    }

    /// After the last one; with `stay`, how to get at everything.
    pub(super) fn end(&self, shown: &[Shown], stage: &Stage, stay: bool) {
        stage.progress.clear();
        let took = self.began.elapsed();
        if self.json {
            let document = self.document(shown, stage, stay, took);
            say(&format!("{document:#}\n"));
            return;
        }
        say(&(self.summary(shown, stage.mails(), took) + "\n"));
        if stay {
            say(&self.doors(stage));
        }
    }

    fn text(&self, shown: &Shown) -> String {
        let (word, style) = match shown.outcome {
            Outcome::Held => ("✔ held", AnsiColor::Green.on_default()),
            Outcome::Broken(_) => ("✘ did not hold", AnsiColor::Red.on_default().bold()),
            Outcome::LeftOut(_) => ("– left out", AnsiColor::Yellow.on_default()),
            Outcome::NotMade(_) => ("– not made", AnsiColor::Yellow.on_default()),
        };
        let head = format!("{:>2}/{}  {:<8} {}", shown.number, STEPS.len(), shown.id, shown.title);
        let gap = WIDTH.saturating_sub(head.chars().count() + word.chars().count()).max(2);
        let mut text =
            format!("{}{}{}\n", self.style(Style::new().bold(), &head), " ".repeat(gap), self.style(style, word));
        text += &self.line("expected", shown.expected);
        match &shown.outcome {
            Outcome::Held => {}
            Outcome::Broken(whys) => whys.iter().for_each(|why| text += &self.line("but", why)),
            Outcome::LeftOut(why) | Outcome::NotMade(why) => text += &self.line("because", why),
        }
        shown
            .done
            .iter()
            .zip(["seen"].into_iter().chain(std::iter::repeat("")))
            .for_each(|(done, label)| text += &self.line(label, done));
        shown.measured.iter().for_each(|measure| text += &self.line(&measure_label(measure), &measured(measure)));
        text += &self.said(&shown.said);
        text.push('\n');
        text
    }

    /// A label and a text, broken into lines.
    fn line(&self, label: &str, text: &str) -> String {
        let label = format!("{label:<9}");
        format!("       {} {}\n", self.style(Style::new().dimmed(), &label), wrap(text))
    }

    fn said(&self, said: &[Said]) -> String {
        let mut text = String::new();
        let (telling, more) = telling(said);
        for Said { after, node, text: words } in telling {
            let line = shorten(&format!("{node}: {words}"), WIDTH - INDENT);
            let after = format!("{:>9}", format!("+{:.2} s", after.as_secs_f64()));
            text += &format!(
                "       {} {}\n",
                self.style(Style::new().dimmed(), &after),
                self.style(Style::new().dimmed(), &line)
            );
        }
        if more > 0 {
            text += &self.line("", &format!("… and {more} more; --json has them all"));
        }
        text
    }

    fn summary(&self, shown: &[Shown], mails: usize, took: Duration) -> String {
        let Count { held, broken, left_out, not_made } = Count::of(shown);
        let all = format!("{held} of {} steps held", shown.len());
        let style = if broken == 0 { AnsiColor::Green.on_default().bold() } else { AnsiColor::Red.on_default().bold() };
        let parts = [(broken, "did not hold"), (left_out, "left out"), (not_made, "not made")];
        let mut text = self.style(style, &all);
        for (number, what) in parts.into_iter().filter(|(number, _)| *number > 0) {
            text += &format!(" · {number} {what}");
        }
        text += &format!(" · {:.0} s · {mails} mails about transitions were delivered", took.as_secs_f64());
        text
    }

    /// How to enter each namespace and to talk to each daemon.
    fn doors(&self, stage: &Stage) -> String {
        let mut text =
            "\nThe pair stays up until Ctrl-C or the end of standard input; then everything is removed.\n".to_owned();
        for host in Host::ALL {
            text += &format!("\n{}\n  {}\n", self.style(Style::new().bold(), host.name()), enter(stage, host));
            if let Some(talk) = talk(stage, host) {
                text += &format!("  {talk}\n");
            }
        }
        text
    }

    fn document(&self, shown: &[Shown], stage: &Stage, stay: bool, took: Duration) -> Value {
        let Count { held, broken, left_out, not_made } = Count::of(shown);
        let machine = |host: Host| {
            json!({
                "name": host.name(),
                "address": host.address(),
                "daemon": Host::NODES.contains(&host).then(|| stage.cast.daemon(host)),
                "enter": stay.then(|| enter(stage, host)),
                "talk": talk(stage, host).filter(|_| stay),
            })
        };
        json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "address": format!("{SERVICE_ADDRESS}/{PREFIX}"),
            "machines": Host::ALL.map(machine),
            "steps": shown.iter().map(step_document).collect::<Vec<_>>(),
            "held": held,
            "broken": broken,
            "left_out": left_out,
            "not_made": not_made,
            "mails": stage.mails(),
            "seconds": took.as_secs_f64(),
        })
    }

    fn style(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// To standard output. A reader that went away is no error: the tour is given all the same, for its exit code.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How the steps came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    held: usize,
    broken: usize,
    left_out: usize,
    not_made: usize,
}

impl Count {
    fn of(shown: &[Shown]) -> Self {
        let mut count = Self::default();
        for shown in shown {
            match shown.outcome {
                Outcome::Held => count.held += 1,
                Outcome::Broken(_) => count.broken += 1,
                Outcome::LeftOut(_) => count.left_out += 1,
                Outcome::NotMade(_) => count.not_made += 1,
            }
        }
        count
    }
}

fn step_document(shown: &Shown) -> Value {
    let (outcome, why): (&str, Vec<&String>) = match &shown.outcome {
        Outcome::Held => ("held", Vec::new()),
        Outcome::Broken(whys) => ("broken", whys.iter().collect()),
        Outcome::LeftOut(why) => ("left out", vec![why]),
        Outcome::NotMade(why) => ("not made", vec![why]),
    };
    let said = |said: &Said| json!({ "after_ms": millis(said.after), "node": said.node.name(), "text": said.text });
    let measure = |measure: &Measure| {
        json!({
            "what": measure.what,
            "outage_ms": millis(measure.outage),
            "lost": measure.lost,
            "never_answered": measure.never_answered,
            "takeover_ms": measure.takeover.map(millis),
            "least_ms": measure.least.map(millis),
            "nobody_ms": millis(measure.nobody),
            "two_holders_ms": millis(measure.two),
        })
    };
    json!({
        "number": shown.number,
        "id": shown.id,
        "title": shown.title,
        "expected": shown.expected,
        "outcome": outcome,
        "why": why,
        "done": shown.done,
        "measured": shown.measured.iter().map(measure).collect::<Vec<_>>(),
        "said": shown.said.iter().map(said).collect::<Vec<_>>(),
    })
}

fn enter(stage: &Stage, host: Host) -> String {
    stage.world.netns(host).nsenter()
}

/// The command that talks to the daemon of a node.
fn talk(stage: &Stage, host: Host) -> Option<String> {
    if !Host::NODES.contains(&host) {
        None
    } else if stage.cast.is_ha(host) {
        Some(format!("{} status --socket {}", stage.program().display(), stage.socket(host).display()))
    } else {
        Some(format!("tail -f {}", stage.world.root().join(host.name()).join("log").display()))
    }
}

/// The lines worth showing, and how many more there are: transitions first of all, and nothing twice.
fn telling(said: &[Said]) -> (Vec<&Said>, usize) {
    let is_transition = |said: &Said| said.text.contains(" (was ");
    let transitions: Vec<&Said> = said.iter().filter(|said| is_transition(said)).collect();
    let is_told =
        |said: &Said| transitions.iter().any(|told| told.node == said.node && told.text.ends_with(&said.text));
    let other = |said: &&Said| !is_transition(said) && !is_told(said);
    let room = SAID.saturating_sub(transitions.len());
    let more = said.iter().filter(other).count().saturating_sub(room);
    let mut telling: Vec<&Said> = transitions.iter().copied().chain(said.iter().filter(other).take(room)).collect();
    telling.sort_by_key(|said| said.after);
    (telling, more)
}

fn measure_label(measure: &Measure) -> String {
    if measure.lost == 0 { "client".to_owned() } else { "outage".to_owned() }
}

/// A measured span as a sentence.
fn measured(measure: &Measure) -> String {
    let outage = || format!("{}: {}", measure.what, time(measure.outage));
    let mut parts = vec![match (measure.lost, measure.never_answered) {
        (0, _) => format!("{}: no packet lost", measure.what),
        (late, 0) => format!("{}, {late} answered late, none lost", outage()),
        (1, _) => format!("{}, 1 packet lost", outage()),
        (lost, _) => format!("{}, {lost} packets lost", outage()),
    }];
    parts.extend(measure.takeover.map(|takeover| {
        let least = measure.least.map_or_else(String::new, |least| format!(" (least possible {})", time(least)));
        format!("takeover after {}{least}", time(takeover))
    }));
    parts.push(format!("nobody {}", time(measure.nobody)));
    parts.push(format!("two holders {}", time(measure.two)));
    parts.join(" · ")
}

/// Milliseconds to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Broken between words, behind the indent.
fn wrap(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH - INDENT {
            out.push('\n');
            out.push_str(&" ".repeat(INDENT));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// One line: what it is, without what follows from it, cut where it is too long.
fn shorten(text: &str, width: usize) -> String {
    let text = text.lines().next().unwrap_or_default();
    let text = text.split("; ").next().unwrap_or(text);
    let text = text.split(". ").next().unwrap_or(text);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown {
            number: 5,
            id: "S5",
            title: "node1's cable is pulled",
            expected: "node2 takes the address, and a sentence that is so long that it does not fit into one line of a hundred",
            outcome: Outcome::Held,
            done: vec!["pulled".to_owned(), "plugged in".to_owned()],
            measured: vec![Measure {
                what: "pulled",
                outage: Duration::from_millis(2871),
                lost: 1436,
                never_answered: 1436,
                takeover: Some(Duration::from_micros(2_868_100)),
                least: Some(Duration::from_micros(2_866_000)),
                nobody: Duration::from_millis(2867),
                two: Duration::ZERO,
            }],
            said: vec![
                Said {
                    after: Duration::from_millis(2),
                    node: Host::Node1,
                    text: "fault: no carrier; x ".repeat(20)
                };
                9
            ],
        }
    }

    #[test]
    fn a_step_is_told_within_the_width() {
        let teller = Teller { json: false, colour: false, began: Instant::now() };
        let broken = Shown { outcome: Outcome::Broken(vec!["why ".repeat(60)]), ..shown() };
        for text in [teller.text(&shown()), teller.text(&broken)] {
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                words.contains("2.871 s, 1436 packets lost · takeover after 2.868 s (least possible 2.866 s)"),
                "{text}"
            );
            assert!(text.contains("+0.00 s node1: fault: no carrier\n") && text.contains("and 1 more"), "{text}");
        }
        assert!(teller.text(&shown()).contains("✔ held") && teller.text(&broken).contains("✘ did not hold"));
    }

    #[test]
    fn the_summary_counts() {
        let teller = Teller { json: false, colour: false, began: Instant::now() };
        let skipped = Shown { outcome: Outcome::NotMade("nft".to_owned()), ..shown() };
        let summary = teller.summary(&[shown(), skipped], 3, Duration::from_secs(90));
        assert_eq!(summary, "1 of 2 steps held · 1 not made · 90 s · 3 mails about transitions were delivered");
    }

    #[test]
    fn times_have_the_digits_that_matter() {
        let told = [0, 400, 9_940, 614_300, 2_871_400].map(|micros| time(Duration::from_micros(micros)));
        assert_eq!(told, ["0 s", "0.4 ms", "9.9 ms", "614 ms", "2.871 s"]);
    }
}
