//! What is wrong with a policy, and where.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is not loaded.
    Error,
    /// The policy works; its author should look.
    Warning,
}

/// One thing wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Stable: `E101`, `W204`.
    pub code: &'static str,
    /// The file as it was named at loading.
    pub file: String,
    /// From 1; 0 if it concerns the whole file.
    pub line: usize,
    /// In characters, from 1; 0 if it concerns the whole line.
    pub column: usize,
    /// How many characters it spans, at least 1.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// For a terminal, with the line of the source and a caret; no colours.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message).id(self.code);
        let Some(range) = self.range(source) else {
            let title = title.element(annotate_snippets::Origin::path(&self.file));
            let report = match &self.hint {
                Some(hint) => title.element(Level::HELP.message(hint)),
                None => title,
            };
            return Renderer::plain().render(&[report]);
        };
        let mut annotation = AnnotationKind::Primary.span(range);
        if let Some(hint) = &self.hint {
            annotation = annotation.label(hint);
        }
        let snippet = Snippet::source(source).path(&self.file).annotation(annotation);
        Renderer::plain().render(&[title.element(snippet)])
    }

    /// For one line of a journal: `check_local.rhai:6:5: E101 unknown function …`.
    #[must_use]
    pub fn line(&self) -> String {
        let place = match (self.line, self.column) {
            (0, _) => self.file.clone(),
            (line, 0) => format!("{}:{line}", self.file),
            (line, column) => format!("{}:{line}:{column}", self.file),
        };
        let hint = self.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{place}: {} {}{hint}", self.code, self.message)
    }

    /// The bytes of the source that it is about.
    fn range(&self, source: &str) -> Option<std::ops::Range<usize>> {
        let line_at = match self.line.checked_sub(1)? {
            0 => 0,
            newlines => source.match_indices('\n').nth(newlines - 1)?.0 + 1,
        };
        let line = source.get(line_at..)?.lines().next().unwrap_or_default();
        let at = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
        let first = self.column.saturating_sub(1);
        Some(line_at + at(first)..line_at + at(first + self.length.max(1)))
    }
}
