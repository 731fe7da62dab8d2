//! Every code of lint: what it is called, why it matters, what to do. Codes are stable: operators search for them.

/// A code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `E101` is an error, `W201` a warning.
    pub code: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What to do.
    pub todo: &'static str,
}

impl Code {
    /// The code of this name, in letters of either case.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        CODES.iter().find(|code| code.code.eq_ignore_ascii_case(name))
    }

    /// The policy is not loaded.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.code.starts_with('E')
    }
}

const fn code(code: &'static str, title: &'static str, why: &'static str, todo: &'static str) -> Code {
    Code { code, title, why, todo }
}

/// All of them, in order.
pub const CODES: &[Code] = &[
    code(
        "E100",
        "the text does not parse",
        "A bracket or a semicolon is missing, something stands where it cannot, or the file is too long. Nothing of it is used.",
        "Look at the caret and at the line before it.",
    ),
    code(
        "E101",
        "unknown function",
        "The script engine would notice only when the line is reached, which may be on the day of the failure. Functions \
         that must not exist in a policy (sleep, eval, timestamp) are refused with the same code.",
        "Correct the name; `ha api --doc` lists every function.",
    ),
    code(
        "E102",
        "wrong number of arguments",
        "Like an unknown function it would fail only when it is reached.",
        "Give as many arguments as the message says.",
    ),
    code(
        "E103",
        "undefined variable",
        "A misspelt name must not quietly be nothing: an empty address matched everything in too many shell scripts. In \
         constants, `node`, `peer` and `now` are not known, because constants are computed once.",
        "Correct the name, or define it with `const` or `let`.",
    ),
    code(
        "E104",
        "unknown option",
        "An option that is misspelt and ignored leaves the default in force: a timeout of 2 s where 200 ms were meant.",
        "Correct the name; the message lists the options of the function.",
    ),
    code(
        "E105",
        "a statement at top level",
        "Top level runs once, when the file is loaded: a probe there would be made once and judged for ever.",
        "Move it into `fn check()`.",
    ),
    code(
        "E106",
        "an action in check()",
        "Found through functions and modules, too. A check that starts, stops or restarts things every second hides the failure from the rules, and two nodes do it at \
         once.",
        "Move it into a hook, or into `heal(\"rule\", || …)`, which limits it.",
    ),
    code(
        "E107",
        "a name of the policy language is redefined",
        "A function of the script with the name of one of the language replaces it without a word: `fn require(…)` would \
         switch every rule off.",
        "Give yours another name.",
    ),
    code(
        "E108",
        "an import that cannot be followed",
        "What is imported must be known when the policy is loaded, so that it is checked, hashed and reloaded with it.",
        "Write the path as a plain text, inside the directory of the policies.",
    ),
    code(
        "E109",
        "two rules of one name",
        "A rule's counters are kept by its name; two rules would count into one.",
        "Give every rule its own name.",
    ),
    code(
        "E110",
        "others may write the file",
        "Whoever can write a policy decides which machine serves. The daemon refuses a file, or a directory on the way to it, \
         that anybody but root and its own user may write.",
        "chown root, chmod go-w; the message names the component.",
    ),
    code(
        "E111",
        "a test of the policy fails",
        "The policy says itself that it does not do what it should. The daemon keeps the version it has.",
        "Run `ha test FILE`, and mend the policy or its test.",
    ),
    code(
        "E112",
        "a secret in the text",
        "Policies are copied, mailed and kept in repositories.",
        "Keep it in a file of its own and write secret(\"name\").",
    ),
    code(
        "E113",
        "INTERVAL, FAST, DEADLINE or ORDERED makes no sense",
        "They say when the policy is evaluated; 50 ms is the least, and FAST is faster than INTERVAL.",
        "Write a duration such as \"1s\".",
    ),
    code(
        "E114",
        "the shape of the policy is wrong",
        "`check()` judges the node; it, the hooks and the tests are called by name, with the arguments that they are given.",
        "Write `fn check() { … }`, and the parameters that the message names.",
    ),
    code(
        "E115",
        "a module is not there, or imports itself",
        "A policy is checked, hashed and reloaded with everything that it imports, so all of it must be there.",
        "Modules lie beneath the policy directory (\"lib/web\" is lib/web.rhai) or come with ha (\"std/web\"); a circle is broken \
         by a module that holds what both sides need.",
    ),
    code(
        "E116",
        "two files have a function of one name",
        "The script engine remembers which function a name meant, for all files of a policy together: a call in one file could \
         reach the function of the other.",
        "Give one of the two another name.",
    ),
    code(
        "W201",
        "only one role evaluates a rule",
        "The role trap: a rule inside `if node.is_master` takes the address away, then nobody evaluates it any more. It \
         lingers for 60 s and is forgotten, the node is fit, takes the address, and fails again.",
        "Evaluate the rule in every role, or say with `linger` how long it stays down unseen.",
    ),
    code(
        "W202",
        "a weight that does not do what weights are for",
        "Too small, and the priority stays above the peer's: the rule shows and moves nothing. Too large, and the priority is \
         1 whatever else is down. Judged by the priorities in both configurations, or those that the running daemon hears.",
        "Take a little more than the difference between the priorities.",
    ),
    code(
        "W203",
        "a timeout that is too long",
        "A hung probe is cut short by the evaluation's deadline, or fills all the time in which it is judged.",
        "Shorten the timeout, or lengthen INTERVAL or DEADLINE.",
    ),
    code(
        "W204",
        "a single ping",
        "Networks lose packets. One echo request per check, with 2 % loss, fails three times in a row about every 35 h.",
        "count: 3; it is ok as soon as one is answered.",
    ),
    code(
        "W205",
        "a name where an address could stand",
        "The resolver becomes part of what is judged: when it fails, this service seems to fail.",
        "Write the address; the Host header and the server's name can be given as options.",
    ),
    code(
        "W206",
        "any certificate is accepted",
        "Whoever answers is healthy, the wrong machine too.",
        "Name the authority: ca: \"/etc/…/ca.crt\".",
    ),
    code(
        "W207",
        "both nodes would fall together",
        "A `require` about something outside both nodes takes the address from both at the same time, and then nobody serves \
         although both could. With two configurations the policies of both are compared.",
        "external: true lets the last one keep it; or use prefer.",
    ),
    code(
        "W208",
        "no test",
        "A policy that was never seen to fall may never fall.",
        "Write `fn test_…()` with fake() and tick(); `ha test --auto` forces every rule down even without.",
    ),
    code(
        "W209",
        "a standby probes the virtual address",
        "The answer comes from the master: the standby judges the other machine, and is unfit exactly when it is needed.",
        "Probe node.addr, or ask only as the holder: any([!node.has_vip, http(…)]).",
    ),
    code("W210", "one failure is enough", "A single hiccup moves the address.", "fall: 3 tolerates two."),
    code(
        "W211",
        "check() cannot be evaluated",
        "Every probe being well, it was run as a backup and as a master, and it broke off: an option out of its range, a \
         duration nobody can read, a fact of the node that does not exist. A policy that breaks off holds, and does not judge.",
        "Correct what the message says; `ha test --auto` runs it in both roles, too.",
    ),
    code(
        "W212",
        "a program that is not allowed",
        "run(), exec() and conntrackd() start only what allow_exec in the configuration lists; anything else is refused, which \
         is noticed when the hook runs, on the day of the failure.",
        "Write the whole path into allow_exec.",
    ),
];
