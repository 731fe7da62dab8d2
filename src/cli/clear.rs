//! `ha clear`: ends what holds a rule down, a latch or its falls. 0 something was cleared, 1 nothing was (and why), 69 no
//! daemon.

use clap::Args;

use super::{Code, Daemon, output, paint::Paint, status};
use crate::control::{Clear, Cleared};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The rule's name, as `ha status` shows it
    rule: String,
    /// Only in this instance
    #[arg(short, long, value_name = "NAME")]
    instance: Option<String>,
    /// Only of this policy
    #[arg(short, long, value_name = "NAME")]
    policy: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let Arguments { rule, instance, policy, .. } = arguments;
    let clear = Clear { rule: rule.clone(), instance: instance.clone(), policy: policy.clone() };
    match arguments.daemon.client().clear(&clear) {
        Ok(cleared) => {
            if arguments.json {
                output::print_json(&cleared);
            } else {
                output::print(&text(&cleared, Paint::of_stdout()));
            }
            if cleared.error.is_none() { Code::OK } else { Code(1) }
        }
        Err(unanswered) => status::unanswered(&unanswered),
    }
}

fn text(cleared: &Cleared, paint: Paint) -> String {
    let done = cleared.cleared.iter().map(|line| format!("{} {line}\n", paint.good("✔")));
    let failed = cleared.error.iter().map(|why| format!("{} nothing was cleared: {why}\n", paint.bad("✘")));
    done.chain(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cleared_or_why_nothing_was_is_said() {
        let paint = Paint::plain();
        let cleared = Cleared::new(Ok(vec!["VI_1: rule web of policy a is held no more".into()]));
        assert_eq!(text(&cleared, paint), "✔ VI_1: rule web of policy a is held no more\n");
        let nothing = Cleared::new(Err("no rule \"wbe\" is known".into()));
        assert_eq!(text(&nothing, paint), "✘ nothing was cleared: no rule \"wbe\" is known\n");
    }
}
