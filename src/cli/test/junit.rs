//! What `ha test` found, as the XML that build servers read (the JUnit format of Ant and Jenkins).

use std::fmt::Write;

use super::Tested;
use crate::policy::Severity;

/// One case: its name, and why it failed.
type Case = (String, Option<String>);

/// The document: a suite for each file, a case for each test and for each rule that was forced down.
pub(super) fn text(tested: &[Tested]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for tested in tested {
        suite(&mut text, &tested.file.name, &tested.file.path.display().to_string(), &cases(tested));
    }
    text + "</testsuites>\n"
}

fn cases(tested: &Tested) -> Vec<Case> {
    let file = &tested.file;
    let (Some(policy), Some(tests)) = (&file.policy, &file.tests) else {
        let why = file.source.as_ref().err().cloned().unwrap_or_else(|| file.rendered(Severity::Error));
        return vec![("it loads".to_owned(), Some(why))];
    };
    let own = policy.tests().into_iter().map(|name| {
        let failure = tests.failures.iter().find(|failure| failure.name == name);
        let failure = failure.map(|failure| format!("line {}: {}", failure.line, failure.message));
        (name, failure)
    });
    let forced = tested.forced().map(|rule| (format!("rule {} forced down", rule.rule), rule.objection.clone()));
    own.chain(forced).collect()
}

fn suite(text: &mut String, name: &str, path: &str, cases: &[Case]) {
    let failures = cases.iter().filter(|(_, failure)| failure.is_some()).count();
    let (name, path) = (escaped(name), escaped(path));
    // Writing into a String cannot fail.
    let _ = writeln!(text, "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\">", cases.len());
    for (case, failure) in cases {
        let case = escaped(case);
        let _ = match failure {
            None => writeln!(text, "    <testcase classname=\"{name}\" name=\"{case}\" file=\"{path}\"/>"),
            Some(why) => writeln!(
                text,
                "    <testcase classname=\"{name}\" name=\"{case}\" file=\"{path}\">\n      <failure message=\"{}\"/>\n    \
                 </testcase>",
                escaped(why)
            ),
        };
    }
    *text += "  </testsuite>\n";
}

/// As the value of an attribute (XML 1.0, 2.2 and 2.4): a character that XML cannot have is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            '\n' => escaped += "&#10;",
            '\t' => escaped += "&#9;",
            '\r' => escaped += "&#13;",
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_counts_and_nothing_breaks_out_of_its_attribute() {
        let mut text = String::new();
        let cases = [("good".to_owned(), None), ("bad".to_owned(), Some("a < \"b\"\n& \u{7}c".to_owned()))];
        suite(&mut text, "web", "/etc/<x>.rhai", &cases);
        insta::assert_snapshot!(text);
    }
}
