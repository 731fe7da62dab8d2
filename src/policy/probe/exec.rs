//! `exec`: a program that the configuration permits, and what it says.

use std::{path::PathBuf, time::Duration};

use rhai::{Dynamic, Map};

use super::{
    Asked, Field, Fields, ProbeKind,
    file::absolute,
    kind::{Kind, Reach},
    target::{Target, texts},
};
use crate::policy::{
    SecretOrText, duration,
    language::{Function, Group, choice, fact},
    options::Options,
};

/// How much of each output is kept, at most and unless told.
const MOST_OUTPUT: usize = 64 * 1024;

/// Options of [`ProbeKind::Exec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program, an absolute path, and its arguments. Not empty.
    pub argv: Vec<String>,
    /// Who runs it, a name or a number; whoever runs this if none.
    pub user: Option<String>,
    /// Its whole environment, besides `PATH`.
    pub environment: Vec<(String, SecretOrText)>,
    /// Where it runs; `/` if none.
    pub cwd: Option<PathBuf>,
    /// What it reads.
    pub input: Option<SecretOrText>,
    /// The wanted exit code.
    pub code: u8,
    /// Text that its output must contain.
    pub expect: Option<String>,
    /// How much of each output is kept, in bytes.
    pub max_output: usize,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "exec",
        group: Group::Probe,
        forms: &["argv: list", "argv: list, options: map"],
        returns: "probe",
        summary: "Runs a program: [\"/absolute/path\", \"argument\", …]. Only if `allow_exec` in ha.toml lists it; without a \
                  shell; with an environment of PATH and `env` alone; it and its children are killed at the timeout. Ok: it \
                  ended with the wanted code, and said what is expected. One that cannot be started is no information. \
                  The other probes cost a tenth of it and more.",
        options: &[
            choice(
                "user",
                "text",
                "",
                "Who runs it: a name or a number, or `user:group`; else whoever the daemon runs as.",
            ),
            choice("env", "map", "", "Its environment besides PATH; values are texts or secrets."),
            choice("cwd", "text", "\"/\"", "Where it runs."),
            choice("stdin", "text or secret", "", "What it reads; else nothing."),
            choice("code", "number", "0", "The wanted exit code."),
            choice("expect", "text", "", "Text that its standard output must contain."),
            choice(
                "max_output",
                "number",
                "65536",
                "How many bytes of each output are kept; the rest is read and dropped.",
            ),
        ],
        fields: &[
            fact("code", "number", "Its exit code; nothing if a signal ended it."),
            fact("stdout", "text", "What it said, without the secrets it was given."),
            fact("stderr", "text", "What it said on standard error, likewise."),
        ],
        privilege: "user: CAP_SETUID and CAP_SETGID",
        example: "watch(\"raid\", exec([\"/usr/sbin/mdadm\", \"--detail\", \"--test\", \"/dev/md0\"], #{ timeout: \"5s\" }), #{ fall: 2 });",
    },
    target: Target::List,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let argv = texts("exec", target)?;
    let Some(program) = argv.first() else { return Err("exec has nothing to run: its list is empty".to_owned()) };
    absolute(program).map_err(|why| format!("exec: {why}"))?;
    Ok(ProbeKind::Exec(ExecRequest {
        user: options.text("user")?,
        environment: environment(options)?,
        cwd: options.text("cwd")?.map(|path| absolute(&path)).transpose()?,
        input: options.secret_or_text("stdin")?,
        code: options.number("code", 0, 0, u8::MAX)?,
        expect: options.text("expect")?,
        max_output: options.number("max_output", MOST_OUTPUT, 0, MOST_OUTPUT)?,
        ..ExecRequest::of(argv)
    }))
}

fn environment(options: &Options<'_>) -> Result<Vec<(String, SecretOrText)>, String> {
    let Some(value) = options.get("env") else { return Ok(Vec::new()) };
    let Some(map) = value.clone().try_cast::<Map>() else {
        return Err("env takes a map, #{ LANG: \"C\" }".to_owned());
    };
    map.iter().map(|(name, value)| Ok((name.to_string(), options.is_secret_or_text("env", value)?))).collect()
}

impl ExecRequest {
    /// The program with its arguments and nothing else said: exit code 0 is wanted.
    #[must_use]
    pub fn of(argv: Vec<String>) -> Self {
        Self {
            argv,
            user: None,
            environment: Vec::new(),
            cwd: None,
            input: None,
            code: 0,
            expect: None,
            max_output: MOST_OUTPUT,
        }
    }

    /// Whether that is what was wanted, and what to say of it.
    #[must_use]
    pub fn judge_end(&self, code: i64, output: &str) -> (bool, String) {
        if code != i64::from(self.code) {
            return (false, format!("exit code {code}"));
        }
        match &self.expect {
            Some(wanted) if !output.contains(wanted) => (false, format!("no {wanted:?} in its output")),
            Some(_) | None => (true, format!("exit code {code}")),
        }
    }
}

impl Asked for ExecRequest {
    fn target(&self) -> String {
        self.argv.join(" ")
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("code", Field::Int(self.code.into())),
            ("stdout", Field::text(self.expect.as_deref().unwrap_or_default())),
            ("stderr", Field::text("")),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::from([("stdout", Field::text("")), ("stderr", Field::text(""))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        self.judge_end(Field::number_in(fields, "code"), Field::text_in(fields, "stdout"))
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}
