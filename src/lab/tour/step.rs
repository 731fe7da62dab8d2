//! A step of the tour: what is done, what is expected, and whether that came about.
//!
//! A step names the spans of time that matter. Each is measured when the step is over, by the client's stream and by the
//! observer, and judged by its limits.

use std::time::{Duration, Instant};

use super::stage::{Cast, Stage};
use crate::lab::{
    client::{Record, Stream},
    observer::Observer,
    trouble::{Result, Trouble},
    world::Host,
};

/// A handover is a matter of milliseconds; a busy machine may need this long for it. keepalived's takes 614 ms.
pub(super) const HANDOVER: Duration = Duration::from_millis(400);
/// What a busy machine may add to a takeover after silence.
pub(super) const BUSY: Duration = Duration::from_millis(500);

/// A step.
pub(super) struct Step {
    /// The row of the founding scenario, or what happens.
    pub(super) id: &'static str,
    /// What happens, in a line.
    pub(super) title: &'static str,
    /// What there must be for it.
    pub(super) needs: &'static [Need],
    /// What must come about, with these daemons.
    pub(super) expected: fn(&Cast) -> &'static str,
    /// Does it.
    pub(super) play: fn(&mut Scene<'_>) -> Result<()>,
    /// What comes before the next one.
    pub(super) then: Then,
}

/// What comes between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// node1 serves again, both are well.
    Restore,
    /// Nothing: the next step begins as this one ends.
    GoOn,
}

/// What a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A policy on this node: it runs `ha`.
    Policy(Host),
    /// A keeper on this node: it runs `ha`.
    Keeper(Host),
    /// To drop one protocol on the switch.
    Nft,
}

/// A step that was made, or was not.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) number: usize,
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) expected: &'static str,
    pub(super) outcome: Outcome,
    /// What was done and seen, in order.
    pub(super) done: Vec<String>,
    pub(super) measured: Vec<Measure>,
    pub(super) said: Vec<Said>,
}

/// How a step came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As expected.
    Held,
    /// Not as expected, and why.
    Broken(Vec<String>),
    /// Left out, because the daemon of a node has no such thing.
    LeftOut(String),
    /// It could not be made on this machine.
    NotMade(String),
}

/// What a daemon said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// After the beginning of the step.
    pub(super) after: Duration,
    pub(super) node: Host,
    pub(super) text: String,
}

/// A stretch of time that matters.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// What happened in it.
    what: &'static str,
    from: Instant,
    to: Instant,
    /// The takeover in it: from when it counts, who took it, and the least time the protocol allows.
    takeover: Option<Takeover>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Takeover {
    due_from: Instant,
    by: Host,
    least: Option<Duration>,
}

/// What may be; absent: anything.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    outage: Option<Duration>,
    lost: Option<usize>,
    two: Option<Duration>,
}

/// A span, measured.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub(super) what: &'static str,
    /// The longest time without service that the client saw.
    pub(super) outage: Duration,
    /// Calls without an answer in time.
    pub(super) lost: usize,
    /// Those of them that were never answered.
    pub(super) never_answered: usize,
    /// From the event to the address on the other node.
    pub(super) takeover: Option<Duration>,
    /// The least that it can be.
    pub(super) least: Option<Duration>,
    /// How long nobody held the address.
    pub(super) nobody: Duration,
    /// How long two did.
    pub(super) two: Duration,
}

impl Span {
    /// From a moment until now.
    pub(super) fn since(what: &'static str, from: Instant) -> Self {
        Self { what, from, to: Instant::now(), takeover: None, limits: Limits::default() }
    }

    /// In it `by` took the address; `least` counts from `due_from`.
    pub(super) const fn takeover(mut self, due_from: Instant, by: Host, least: Option<Duration>) -> Self {
        self.takeover = Some(Takeover { due_from, by, least });
        self
    }

    /// The client must not miss more.
    pub(super) const fn outage_at_most(mut self, outage: Duration) -> Self {
        self.limits.outage = Some(outage);
        self
    }

    /// The client must not lose a packet; one that is answered late, on a busy machine, is not lost.
    pub(super) const fn nothing_lost(mut self) -> Self {
        self.limits.lost = Some(0);
        self
    }

    /// Two holders must not last longer.
    pub(super) const fn two_at_most(mut self, two: Duration) -> Self {
        self.limits.two = Some(two);
        self
    }

    /// There must be no moment with two holders.
    pub(super) const fn never_two(self) -> Self {
        self.two_at_most(Duration::ZERO)
    }

    fn measure(&self, record: &Record, observer: &Observer) -> Measure {
        let outage = record.outage(self.from, self.to);
        let took = self.takeover.and_then(|takeover| {
            Some(observer.first(takeover.by, true, self.from)?.saturating_duration_since(takeover.due_from))
        });
        Measure {
            what: self.what,
            outage: outage.longest,
            lost: outage.lost,
            never_answered: outage.never_answered,
            takeover: took,
            least: self.takeover.and_then(|takeover| takeover.least),
            nobody: observer.no_holder(self.from, self.to),
            two: observer.two_holders(self.from, self.to),
        }
    }

    /// What is not as it must be.
    fn objections(&self, measure: &Measure) -> Vec<String> {
        let Limits { outage, lost, two } = self.limits;
        let over = |limit: Option<Duration>, is: Duration| limit.filter(|limit| is > *limit);
        let long = over(outage, measure.outage).map(|limit| {
            format!("{}: {} without service, at most {} expected", self.what, time(measure.outage), time(limit))
        });
        let lost = lost
            .filter(|limit| measure.never_answered > *limit)
            .map(|_| format!("{}: {} packets were lost, none expected", self.what, measure.never_answered));
        let two = over(two, measure.two).map(|limit| {
            format!("{}: two holders for {}, at most {} expected", self.what, time(measure.two), time(limit))
        });
        [long, lost, two].into_iter().flatten().collect()
    }
}

/// A step that is being made.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) began: Instant,
    done: Vec<String>,
    spans: Vec<Span>,
    objections: Vec<String>,
}

impl Scene<'_> {
    /// What was done or seen, for the reader.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    /// It must be so.
    pub(super) fn require(&mut self, is_so: bool, otherwise: impl Into<String>) {
        if !is_so {
            self.objections.push(otherwise.into());
        }
    }

    /// This will be measured.
    pub(super) fn span(&mut self, span: Span) {
        self.spans.push(span);
    }
}

impl Step {
    /// Makes it.
    pub(super) fn perform(&self, number: usize, stage: &mut Stage) -> Shown {
        if let Some(missing) = self.needs.iter().find(|need| !stage.cast.has(**need)) {
            return self.left_out(number, stage, missing.missing());
        }
        let began = Instant::now();
        let stream = match Stream::start(&stage.world) {
            Ok(stream) => stream,
            Err(trouble) => return self.left_out(number, stage, Outcome::Broken(vec![trouble.to_string()])),
        };
        let mut scene = Scene { stage, began, done: Vec::new(), spans: Vec::new(), objections: Vec::new() };
        let played = (self.play)(&mut scene);
        let Scene { stage, done, spans, mut objections, .. } = scene;
        let record = stream.stop();
        let measured: Vec<Measure> = spans.iter().map(|span| span.measure(&record, &stage.observer)).collect();
        objections.extend(spans.iter().zip(&measured).flat_map(|(span, measure)| span.objections(measure)));
        let outcome = match played {
            // It is there and does not work: a kernel without it, most likely.
            Err(Trouble::Program { name, error }) if name == "nft" => Outcome::NotMade(format!("{name}: {error}")),
            Err(trouble) => Outcome::Broken(objections.into_iter().chain([trouble.to_string()]).collect()),
            Ok(()) if objections.is_empty() => Outcome::Held,
            Ok(()) => Outcome::Broken(objections),
        };
        let said = stage.said_since(began);
        Shown { done, measured, said, ..self.left_out(number, stage, outcome) }
    }

    /// The step without anything done.
    pub(super) fn left_out(&self, number: usize, stage: &Stage, outcome: Outcome) -> Shown {
        Shown {
            number,
            id: self.id,
            title: self.title,
            expected: (self.expected)(&stage.cast),
            outcome,
            done: Vec::new(),
            measured: Vec::new(),
            said: Vec::new(),
        }
    }
}

impl Need {
    /// What becomes of a step that lacks it.
    fn missing(self) -> Outcome {
        match self {
            Self::Policy(node) => Outcome::LeftOut(format!("{node} runs keepalived, which has no policies")),
            Self::Keeper(node) => Outcome::LeftOut(format!("{node} runs keepalived, which has no keeper")),
            Self::Nft => Outcome::NotMade(
                "nft is not installed, and only it can drop one protocol on a switch (Debian: apt install nftables)"
                    .to_owned(),
            ),
        }
    }
}

/// A time with the digits that matter.
pub(super) fn time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0 => "0 s".to_owned(),
        1..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{:.3} s", time.as_secs_f64()),
    }
}
