//! `ha import FILE`: from a configuration of keepalived to one of `ha`. 0 it was written, 65 something in it cannot be imported
//! (nothing was written), 66 the file cannot be read, 73 the result cannot be written.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, lchown},
    path::{Path, PathBuf},
};

use clap::Args;
use nix::unistd::{Uid, User};

use super::{Code, DAEMON, output};
use crate::{
    daemon::keepalived::import,
    import::{Import, Output},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration of keepalived
    #[arg(value_name = "FILE", default_value = "/etc/keepalived/keepalived.conf")]
    file: PathBuf,
    /// Write ha.toml, policies/ and secrets/ here; the directory must not have them yet. Else ha.toml is printed and
    /// nothing written
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print every line of the input with what becomes of it, and write nothing
    #[arg(long, conflicts_with = "output")]
    explain: bool,
    /// What lines that begin with @ID are for, as keepalived's own -i; else the short name of this machine
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let imported = match import(&arguments.file, arguments.config_id.as_deref()) {
        Ok(imported) => imported,
        Err(why) => {
            output::complain(&format!("{} {why}", arguments.file.display()));
            return Code::NO_INPUT;
        }
    };
    if arguments.explain {
        output::print(&imported.explanation());
    }
    if imported.is_refused() {
        output::complain(&format!(
            "this configuration cannot be imported as it is; nothing was written:\n\n{}\nMend these lines and import again; \
             --explain shows every line.",
            imported.refusals()
        ));
        return Code::DATA;
    }
    match &arguments.output {
        _ if arguments.explain => Code::OK,
        None => {
            print(&imported);
            Code::OK
        }
        Some(directory) => match write(directory, &imported.outputs) {
            Ok(()) => {
                let given = Uid::effective().is_root() && give(directory, &imported.outputs);
                say(directory, &imported, given);
                Code::OK
            }
            Err(why) => {
                output::complain(&why);
                Code::CANNOT_CREATE
            }
        },
    }
}

/// Without a directory: what is not secret.
fn print(imported: &Import) {
    for one in &imported.outputs {
        if one.path.starts_with("secrets/") {
            output::print(&format!("# ---- {}: not shown\n\n", one.path));
        } else {
            output::print(&format!("# ---- {}\n{}\n", one.path, imported.ledger.masked(&one.text)));
        }
    }
    output::print("# Nothing was written; -o DIR writes it, with the passwords.\n");
}

/// All or nothing that is in the way; never over a file.
fn write(directory: &Path, outputs: &[Output]) -> Result<(), String> {
    if let Some(there) =
        outputs.iter().map(|one| directory.join(&one.path)).find(|path| path.symlink_metadata().is_ok())
    {
        return Err(format!("{} is there already; nothing was written: name another directory", there.display()));
    }
    for one in outputs {
        let path = directory.join(&one.path);
        create(&path, one).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(())
}

/// Writes one file, and the directory it is in.
pub(super) fn create(path: &Path, output: &Output) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        let mode = if parent.ends_with("secrets") { 0o700 } else { 0o755 };
        fs::DirBuilder::new().recursive(true).mode(mode).create(parent)?;
    }
    let mode = if output.private { 0o600 } else { 0o644 };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(output.text.as_bytes())
}

/// What only its owner may read, and the directory of the secrets.
fn private(directory: &Path, outputs: &[Output]) -> Vec<PathBuf> {
    let private = outputs.iter().filter(|one| one.private);
    let (secrets, others): (Vec<&Output>, Vec<&Output>) = private.partition(|one| one.path.starts_with("secrets/"));
    let secrets = secrets.first().map(|_| directory.join("secrets"));
    secrets.into_iter().chain(others.iter().map(|one| directory.join(&one.path))).collect()
}

/// Makes what is private the daemon's; whether there is such a user, and it is.
fn give(directory: &Path, outputs: &[Output]) -> bool {
    let Ok(Some(user)) = User::from_name(DAEMON) else { return false };
    let written = outputs.iter().filter(|one| one.private).map(|one| directory.join(&one.path));
    // The directory last: from then on that user can put other files there.
    let all = written.chain(private(directory, outputs));
    all.map(|path| lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))).all(|given| given.is_ok())
}

fn say(directory: &Path, imported: &Import, given: bool) {
    for one in &imported.outputs {
        let private = if one.private { "  (only its owner may read it)" } else { "" };
        output::print(&format!("{}{private}\n", directory.join(&one.path).display()));
    }
    let private: Vec<String> =
        private(directory, &imported.outputs).iter().map(|path| path.display().to_string()).collect();
    match private.join(" ") {
        all if all.is_empty() => {}
        all if given => output::print(&format!("\n{all}: made {DAEMON}'s, as whom the unit runs the daemon\n")),
        all => output::print(&format!(
            "\nThe daemon's user must own what only its owner may read. The unit runs it as {DAEMON}:\n  sudo chown -R {DAEMON}: {all}\n"
        )),
    }
    let config = directory.join("ha.toml");
    output::print(&format!("\nNext: ha check {0}, then ha check --dry-run {0}\n", config.display()));
}
