//! What each member of a witness's cluster says, asked once by a dry run. Nothing is taken and nothing kept.

use serde_json::{Value, json};

use crate::{
    cli::{Code, output::wrap, paint::Paint},
    config::Config,
    daemon,
    probe::RealProber,
};

/// The members, each with what it says or why it says nothing.
#[derive(Debug)]
pub(super) struct Asked(Vec<(String, Result<String, String>)>);

impl Asked {
    /// `None` if there is no witness. Errors of this machine are the members' silence.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let witness = config.witness.as_ref()?;
        let silent = |why: String| witness.endpoints.iter().map(|one| (one.clone(), Err(why.clone()))).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Some(Self(match runtime {
            Err(error) => silent(format!("the runtime cannot be started: {error}")),
            Ok(runtime) => {
                let prober = RealProber::new(runtime.handle().clone());
                prober.permit(&config.permits);
                let said = daemon::ask_witness(witness, &prober);
                runtime.shutdown_background();
                said
            }
        }))
    }

    /// 0 while one of them answers, else 2.
    pub(super) fn code(&self) -> Code {
        if self.0.iter().any(|(_, said)| said.is_ok()) { Code::OK } else { Code(2) }
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let line = |(member, said): &(String, Result<String, String>)| match said {
            Ok(said) => format!("  {} {}\n", paint.good("✔"), wrap(&format!("{member}: {said}"), 4)),
            Err(why) => format!("  {} {}\n", paint.bad("✘"), wrap(&format!("{member}: does not answer: {why}"), 4)),
        };
        format!("\n{}\n{}", paint.strong("witness"), self.0.iter().map(line).collect::<String>())
    }

    pub(super) fn document(&self) -> Value {
        let one = |(member, said): &(String, Result<String, String>)| {
            let (Ok(text) | Err(text)) = said;
            json!({ "member": member, "answers": said.is_ok(), "text": text })
        };
        self.0.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_that_answers_is_enough() {
        let asked = |said: [Result<&str, &str>; 2]| {
            let said = said.map(|said| said.map(str::to_owned).map_err(str::to_owned));
            Asked(["http://a:1", "http://b:1"].map(str::to_owned).into_iter().zip(said).collect())
        };
        let half = asked([Err("connection refused"), Ok("answers; nobody holds it")]);
        assert_eq!(half.code(), Code::OK);
        assert_eq!(
            half.text(Paint::plain()),
            "\nwitness\n  ✘ http://a:1: does not answer: connection refused\n  ✔ http://b:1: answers; nobody holds it\n"
        );
        let expected = json!({ "member": "http://a:1", "answers": false, "text": "connection refused" });
        assert_eq!(half.document().get(0), Some(&expected));
        assert_eq!(asked([Err("no"), Err("no leader")]).code(), Code(2));
    }
}
