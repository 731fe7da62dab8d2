//! A configuration, whatever is in it: it is refused in words, each time the same, or can be described and compared.

use ha::config::{self, Facts};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = || config::parse(text, "/etc/ha/ha.toml".as_ref(), &Facts::default());
    match read() {
        Ok(loaded) => {
            assert!(!config::describe(&loaded.config, Some(&loaded.config)).is_empty());
            for problem in config::compare(&loaded.config, &loaded.config) {
                assert!(!problem.what().is_empty());
            }
        }
        Err(problems) => {
            assert!(!problems.list().is_empty());
            for problem in problems.list() {
                assert!(!problem.what().is_empty());
                if let Some((line, column)) = problem.position() {
                    assert!(line >= 1 && column >= 1 && line <= text.split('\n').count(), "{line}:{column}");
                }
            }
            let said = problems.render(false);
            assert_eq!(read().err().map(|again| again.render(false)), Some(said));
        }
    }
}
