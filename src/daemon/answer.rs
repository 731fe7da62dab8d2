//! What is answered to a question or a command about one policy.

use super::policies::{Choice, Library};
use crate::control::{
    About, Wanted,
    protocol::{By, Done},
};

/// Whether files of the policies' directory are read for it, which may lie on a server that is gone.
pub(super) const fn reads(wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Use(_) | Wanted::Unpin => true,
        Wanted::Generations | Wanted::Texts(_) | Wanted::Rollback(_) | Wanted::Pin(_) => false,
    }
}

/// Blocks. An error is a sentence for the client.
pub(super) fn about(library: &Library, policy: &str, wanted: Wanted, uid: u32) -> Result<About, String> {
    let by = By::Command { uid };
    let choose = |choice: Choice| library.choose(policy, &choice, &by).map(|message| About::Done(Done { message }));
    match wanted {
        Wanted::Generations => library.generations(policy).map(About::Generations),
        Wanted::Texts(number) => library.texts(policy, number).map(About::Texts),
        Wanted::Rollback(number) => choose(Choice::Rollback(number)),
        Wanted::Pin(number) => choose(Choice::Pin(number)),
        Wanted::Use(file) => library.run_other(policy, &file, &by).map(|message| About::Done(Done { message })),
        Wanted::Unpin => {
            let done = library.choose(policy, &Choice::Unpin, &by)?;
            let found = library.look(true, Some(&by));
            let about = found.changes.into_iter().chain(found.errors).filter(|line| line.contains(policy));
            let message = about.fold(done, |text, line| format!("{text}\n{line}"));
            Ok(About::Done(Done { message }))
        }
    }
}
