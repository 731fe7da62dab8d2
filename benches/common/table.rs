//! Figures of both makers beside each other: medians, worst cases and their ratio.

use std::{collections::BTreeMap, time::Duration};

use super::Maker;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Milliseconds; infinite: never, or without an end.
    Milliseconds,
    /// Things.
    Count,
    /// Kibibytes.
    Kibibytes,
    /// Per cent of one processor.
    Percent,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub what: &'static str,
    /// In which unit.
    pub unit: Unit,
    /// How much.
    pub value: f64,
}

impl Figure {
    /// A stretch of time.
    pub const fn time(what: &'static str, time: Duration) -> Self {
        Self { what, unit: Unit::Milliseconds, value: time.as_secs_f64() * 1000.0 }
    }

    /// A stretch of time that had not ended when the watch ended, if `None`.
    pub fn time_or_never(what: &'static str, time: Option<Duration>) -> Self {
        let value = time.map_or(f64::INFINITY, |time| time.as_secs_f64() * 1000.0);
        Self { what, unit: Unit::Milliseconds, value }
    }

    /// A number of things.
    pub fn count(what: &'static str, count: usize) -> Self {
        Self { what, unit: Unit::Count, value: f64::from(u32::try_from(count).unwrap_or(u32::MAX)) }
    }
}

/// All figures, in the order of their first appearance.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(String, &'static str, Unit)>,
    values: BTreeMap<(usize, Maker), Vec<f64>>,
}

impl Table {
    /// Takes up a figure of one run of `scene`.
    pub fn add(&mut self, scene: &str, maker: Maker, figure: &Figure) {
        let is_it = |row: &(String, &str, Unit)| row.0 == scene && row.1 == figure.what;
        let row = self.rows.iter().position(is_it).unwrap_or_else(|| {
            self.rows.push((scene.to_owned(), figure.what, figure.unit));
            self.rows.len() - 1
        });
        self.values.entry((row, maker)).or_default().push(figure.value);
    }

    /// The table, with `ratio` = ha's median / keepalived's.
    pub fn print(&self) {
        let wide = self.rows.iter().map(|(scene, what, _)| scene.len().max(what.len() + 2)).max().unwrap_or(0);
        println!("{:wide$}  {:>10} {:>10}  {:>10} {:>10}  {:>8}", "", "ha", "worst", "keepalived", "worst", "ratio");
        let mut last = "";
        for (number, (scene, what, unit)) in self.rows.iter().enumerate() {
            if scene != last {
                println!("{scene}");
                last = scene;
            }
            let [ha, keepalived] = Maker::ALL.map(|maker| self.values.get(&(number, maker)));
            println!(
                "{:wide$}  {:>10} {:>10}  {:>10} {:>10}  {:>8}",
                format!("  {what}"),
                show(ha.map(|values| median(values)), *unit),
                show(ha.map(|values| worst(values)), *unit),
                show(keepalived.map(|values| median(values)), *unit),
                show(keepalived.map(|values| worst(values)), *unit),
                ratio(ha.map(|values| median(values)), keepalived.map(|values| median(values))),
            );
        }
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.get((sorted.len().max(1) - 1) / 2), sorted.get(sorted.len() / 2));
    match (below, above) {
        // Infinite is infinite; between two finite ones lies their mean.
        (Some(below), Some(above)) if above.is_finite() => f64::midpoint(*below, *above),
        (_, above) => above.copied().unwrap_or(f64::NAN),
    }
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub fn ratio(ours: Option<f64>, theirs: Option<f64>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours.is_finite() && theirs > 0.0 => format!("{:.3}", ours / theirs),
        _ => "-".to_owned(),
    }
}

pub fn show(value: Option<f64>, unit: Unit) -> String {
    let Some(value) = value else { return "-".to_owned() };
    if value.is_infinite() {
        return "no end".to_owned();
    }
    match unit {
        Unit::Milliseconds if value.abs() >= 1000.0 => format!("{:.2} s", value / 1000.0),
        Unit::Milliseconds if value.abs() >= 10.0 => format!("{value:.0} ms"),
        Unit::Milliseconds if value == 0.0 => "0".to_owned(),
        Unit::Milliseconds => format!("{value:.2} ms"),
        Unit::Count => format!("{value:.0}"),
        Unit::Kibibytes => format!("{:.1} MiB", value / 1024.0),
        Unit::Percent => format!("{value:.3} %"),
    }
}
