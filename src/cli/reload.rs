//! `ha reload`: 0 all runs as it stands on disk, 69 no daemon, 78 something was refused and everything else is as it was.

use clap::Args;

use super::{Code, Daemon, output, paint::Paint, status};
use crate::control::Reload;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    daemon: Daemon,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    match arguments.daemon.client().reload() {
        Ok(reload) => {
            if arguments.json {
                output::print_json(&reload);
            } else {
                output::print(&text(&reload, Paint::of_stdout()));
            }
            if reload.ok { Code::OK } else { Code::CONFIG }
        }
        Err(unanswered) => status::unanswered(&unanswered),
    }
}

fn text(reload: &Reload, paint: Paint) -> String {
    let mut text = String::new();
    for change in &reload.changes {
        text += &format!("{} {change}\n", paint.good("✔"));
    }
    for error in &reload.errors {
        text += &format!("{} {}\n", paint.bad("✘"), error.trim_end());
    }
    for remark in &reload.remarks {
        text += &format!("{} {}\n", paint.doubtful("!"), output::wrap(remark, 2));
    }
    match (reload.ok, reload.changes.is_empty()) {
        (true, true) if !reload.remarks.is_empty() => text += "nothing that runs has changed\n",
        (true, true) => text += "nothing has changed\n",
        (true, false) => {}
        (false, _) => text += "what was refused is not taken over; what ran before keeps running\n",
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_what_not_is_said() {
        let paint = Paint::plain();
        assert_eq!(text(&Reload::new(vec![], vec![]), paint), "nothing has changed\n");
        let pinned = Reload { remarks: vec!["policy a: pinned".into()], ..Reload::new(vec![], vec![]) };
        assert_eq!(text(&pinned, paint), "! policy a: pinned\nnothing that runs has changed\n");
        let refused = Reload::new(vec!["policy a: generation 2 runs".into()], vec!["policy b: no such file\n".into()]);
        assert_eq!(
            text(&refused, paint),
            "✔ policy a: generation 2 runs\n✘ policy b: no such file\n\
             what was refused is not taken over; what ran before keeps running\n"
        );
    }
}
