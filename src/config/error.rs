//! What is wrong with a configuration: where, what, and what to do.
//!
//! Problems are collected, never thrown: one pass finds them all. Each knows its place in the text and can show the line.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

/// Bytes of the text, from and to.
pub(super) type Span = Range<usize>;

/// More errors than this are counted, not shown.
const SHOWN_MAX: usize = 100;

/// A text and the file it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and does not do what was perhaps meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    what: String,
    todo: String,
    place: Option<Place>,
    absence: bool,
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    source: Arc<Source>,
    span: Span,
    related: Vec<(Span, String)>,
}

impl Problem {
    /// A problem that is in no particular line.
    pub(crate) fn anywhere(severity: Severity, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { severity, what: what.into(), todo: todo.into(), place: None, absence: false }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, a sentence without its full stop.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it, likewise.
    #[must_use]
    pub fn todo(&self) -> &str {
        &self.todo
    }

    /// Line and column, in characters, both from 1; `None` if it is in no particular line.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        let place = self.place.as_ref()?;
        let before = place.source.text.get(..place.span.start)?;
        let line = before.rsplit('\n').next()?;
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }

    /// The text that it is about, as it is written; `None` if it is in no particular line.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let place = self.place.as_ref()?;
        place.source.text.get(place.span.clone())
    }

    /// The problem with its line and a caret; `colour`: for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*self.what);
        let mut group = match &self.place {
            None => Group::with_title(title),
            Some(place) => title.element(place.snippet()),
        };
        if !self.todo.is_empty() {
            group = group.element(Level::HELP.message(&*self.todo));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).term_width(120).render(&[group])
    }

    fn order(&self) -> (usize, Severity) {
        (self.place.as_ref().map_or(0, |place| place.span.start), self.severity)
    }
}

impl Place {
    /// Only the lines that are spoken of: the rest of a long file would be searched for each problem.
    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let text = &self.source.text;
        let spans = || std::iter::once(&self.span).chain(self.related.iter().map(|(span, _)| span));
        let first = spans().map(|span| span.start).min().unwrap_or(0);
        let last = spans().map(|span| span.end).max().unwrap_or(0);
        let start = text.get(..first).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let end = text.get(last..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| last + newline);
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        let inside = |span: &Span| span.start - start..span.end - start;
        Snippet::source(text.get(start..end).unwrap_or_default())
            .path(self.source.path.display().to_string())
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(inside(&self.span)))
            .annotations(
                self.related.iter().map(|(span, label)| AnnotationKind::Context.span(inside(span)).label(&**label)),
            )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Everything that is wrong with one configuration, at least one error among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    path: PathBuf,
    list: Vec<Problem>,
    hidden: usize,
    outcome: String,
}

impl Problems {
    /// The file cannot be read at all.
    pub(crate) fn unreadable(path: PathBuf, what: String, todo: &str) -> Self {
        let list = vec![Problem::anywhere(Severity::Error, what, todo)];
        Self { path, list, hidden: 0, outcome: "nothing was changed".to_owned() }
    }

    /// Errors and warnings, in the order of the text.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The last sentence says this instead of "nothing was changed".
    #[must_use]
    pub fn with_outcome(self, outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), ..self }
    }

    /// The errors before the warnings: for whoever marks the whole as refused.
    #[must_use]
    pub fn errors_first(mut self) -> Self {
        self.list.sort_by_key(|problem| problem.severity != Severity::Error);
        self
    }

    /// All of them; `colour`: for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text: String = self.list.iter().map(|problem| problem.render(colour) + "\n\n").collect();
        if self.hidden > 0 {
            text += &format!("… and {} more\n\n", self.hidden);
        }
        let errors = self.list.iter().filter(|problem| problem.severity == Severity::Error).count() + self.hidden;
        let errors = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        text += &format!("{errors} in {}; {}.", self.path.display(), self.outcome);
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// Collects what is found while a text is read.
#[derive(Debug)]
pub(super) struct Findings {
    source: Arc<Source>,
    list: Vec<Problem>,
    hidden: usize,
}

impl Findings {
    pub(super) fn new(source: Source) -> Self {
        Self { source: Arc::new(source), list: Vec::new(), hidden: 0 }
    }

    /// For reading what is not in a file.
    pub(super) fn nowhere() -> Self {
        Self::new(Source { path: PathBuf::new(), text: String::new() })
    }

    /// The configuration cannot be used because of what stands at `span`.
    pub(super) fn error(&mut self, span: Span, what: impl Into<String>, todo: impl Into<String>) {
        self.add(span, Problem::anywhere(Severity::Error, what, todo));
    }

    /// What stands there is a secret: no problem that is found from now on shows it.
    pub(super) fn hide(&mut self, span: &Span) {
        let text = &mut Arc::make_mut(&mut self.source).text;
        if text.get(span.clone()).is_some() {
            text.replace_range(span.clone(), &"*".repeat(span.len()));
        }
    }

    /// It can be used; an operator should know.
    pub(super) fn warning(&mut self, span: Span, what: impl Into<String>, todo: impl Into<String>) {
        self.add(span, Problem::anywhere(Severity::Warning, what, todo));
    }

    /// Something that must be there is not. Left out if the text could not be read entirely: it may be in that part.
    pub(super) fn missing(&mut self, span: Span, what: impl Into<String>, todo: impl Into<String>) {
        self.add(span, Problem { absence: true, ..Problem::anywhere(Severity::Error, what, todo) });
    }

    /// Another place that belongs to the problem found last.
    pub(super) fn relate(&mut self, span: Span, label: impl Into<String>) {
        if let Some(place) = self.list.last_mut().and_then(|problem| problem.place.as_mut()) {
            place.related.push((span, label.into()));
        }
    }

    /// These lines could not be read: what was found in them is dropped, and what was missed may be in them.
    pub(super) fn drop_consequences(&mut self, unreadable: &[Span]) {
        self.list.retain(|problem| {
            let inside = |place: &Place| unreadable.iter().any(|lines| overlap(&place.span, lines));
            problem.severity == Severity::Error && !problem.absence && !problem.place.as_ref().is_some_and(inside)
        });
        self.hidden = 0;
    }

    /// What stands there.
    pub(super) fn text(&self, span: &Span) -> &str {
        self.source.text.get(span.clone()).unwrap_or_default()
    }

    /// The warnings, or everything if there is an error among it; in the order of the text.
    pub(super) fn conclude(mut self) -> Result<Vec<Problem>, Problems> {
        self.list.sort_by_key(Problem::order);
        if self.errors() == 0 {
            return Ok(self.list);
        }
        let path = self.source.path.clone();
        Err(Problems { path, list: self.list, hidden: self.hidden, outcome: "nothing was changed".to_owned() })
    }

    fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    fn add(&mut self, span: Span, problem: Problem) {
        if problem.severity == Severity::Warning || self.errors() < SHOWN_MAX {
            let place = Place { source: Arc::clone(&self.source), span, related: Vec::new() };
            self.list.push(Problem { place: Some(place), ..problem });
        } else {
            self.hidden += 1;
        }
    }
}

fn overlap(a: &Span, b: &Span) -> bool {
    a.start <= b.end && b.start <= a.end
}
