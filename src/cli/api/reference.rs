//! The reference of the policy language, as Markdown.

use crate::policy::{
    CODES, Engine,
    language::{self, Choice, Fact, Function, Group},
    standard_library,
};

const OPENING: &str = "# The policy language of `ha`

Written by `ha api --doc` from the list that the program itself uses; a test keeps this file equal to it.

A policy is one file, `NAME.rhai`, in the directory of the policies: a small script in [Rhai](https://rhai.rs/book/) that
judges this node. At top level stand `const`, `import` of a plain text, and `fn`; nothing else.

| at top level | |
|---|---|
| `fn check()` | Required, but for a file of hooks alone. Runs every `INTERVAL`. Its rules decide, or the verdict that it returns. |
| `fn may_take_over(ev)` | Asked before this node takes the address over; `false` keeps it backup. |
| `fn on_master(ev)` … | Hooks, see below: they run when something happened. |
| `fn test_…()` | Tests, run by `ha test` and before a version is loaded; never in the daemon. |
| `const INTERVAL` | How often it is evaluated: \"1s\" unless written, 50 ms at least. |
| `const FAST` | How often while a rule is on its way down or up. |
| `const DEADLINE` | How long one evaluation may take: the longer of 5 s and its longest timeout unless written. |
| `const ORDERED` | `true`: hooks run for every transition, in order; else a newer one takes the place of one that waits. |

Durations are written \"500ms\", \"2s\", \"5m\", \"1h\", or `2.s`, `500.ms`; a plain number is seconds.

A probe is a value, never an exception: it starts when it is called, all of them run at the same time, and reading a field
waits for it. `!probe` works; `probe && other` is an error: write `probe.ok && other.ok`, `all([…])` or `any([…])`.
";

/// Fields that every probe and condition has.
const COMMON: &[(&str, &str, &str)] = &[
    ("ok", "truth", "What was asked is so."),
    ("why", "text", "Why, for people."),
    (
        "error",
        "text",
        "Why not, as one word: timeout, refused, unreachable, reset, dns, tls, protocol, mismatch, denied, deadline, internal; empty if ok.",
    ),
    (
        "blind",
        "truth",
        "This machine itself could not look (no privilege, no descriptor, no resolver): no information.",
    ),
    ("elapsed", "number", "Seconds it took."),
    ("kind", "text", "The function."),
    ("target", "text", "What was probed."),
];

/// The whole document.
pub(super) fn text() -> String {
    let mut text = OPENING.to_owned();
    text += "\n## What a policy knows\n\nInside functions, besides its own constants.\n";
    text += &facts("`node`: this node, in the instance that is judged", language::NODE);
    text += &facts("`peer`: the first peer; `peers[…]`: every one", language::PEER);
    text += "\n`now` is a number of seconds on a clock that never jumps; tests move it.\n";
    for (group, heading, opening) in SECTIONS {
        let functions: Vec<&Function> = language::functions().filter(|function| function.group == *group).collect();
        if functions.is_empty() {
            continue;
        }
        if *group == Group::Action {
            text += &hooks();
        }
        text += &format!("\n## {heading}\n\n{opening}\n");
        if *group == Group::Probe {
            let rows = COMMON.iter().map(|(name, kind, summary)| format!("| `{name}` | {kind} | {summary} |\n"));
            text += &format!("\n| every probe has | | |\n|---|---|---|\n{}", rows.collect::<String>());
        }
        text += &functions.into_iter().map(function).collect::<String>();
    }
    text + library().as_str() + codes().as_str()
}

fn hooks() -> String {
    let rows =
        language::HOOKS.iter().map(|function| format!("| `{}(ev)` | {} |\n", function.hook, cell(function.summary)));
    format!(
        "\n## Hooks\n\nIn any policy of the instance, or in a file of their own that is listed like one. One at a time and in \
         order for each instance, 30 s at most, never where the protocol runs: advertisements do not wait for them, and an \
         error in one is an alarm and no verdict.\n\n| hook | when |\n|---|---|\n{}{}",
        rows.collect::<String>(),
        facts("`ev`: what happened", language::EVENT)
    )
}

const SECTIONS: &[(Group, &str, &str)] = &[
    (Group::Probe, "Probes", "In `check()`. Each returns at once and answers no later than its timeout."),
    (Group::Condition, "Conditions", "Several probes, or a truth, as one condition. They keep `ok` and `why`."),
    (
        Group::Rule,
        "Rules",
        "A rule is a named gate over a condition: so many failures in a row take it down, so many successes bring it up.",
    ),
    (Group::Helper, "Memory", "What is kept from one evaluation to the next."),
    (
        Group::Verdict,
        "Verdicts",
        "What `check()` may return. Without one the rules decide: a `require` that is down is a fault, each `prefer` that is \
         down lowers the priority. Maintenance before fault before hold before healthy; a policy that cannot be evaluated \
         holds, with an alarm.",
    ),
    (Group::Action, "Actions", "In hooks and in what `heal` is given; in `check()` they are an error."),
    (Group::General, "Times and the log", "Everywhere."),
    (Group::Test, "Tests", "In `fn test_…()`: no network, virtual time, each test starts from zero."),
];

fn function(function: &Function) -> String {
    let forms = function.forms.iter().map(|form| {
        let names: Vec<&str> = form.split(", ").map(|part| part.split(':').next().unwrap_or(part)).collect();
        format!("`{}({})`", function.name, names.join(", "))
    });
    let mut text =
        format!("\n### `{}`\n\n{} → {}\n\n", function.name, forms.collect::<Vec<_>>().join(", "), function.returns);
    text += &format!("{}\n", function.summary);
    if !function.privilege.is_empty() {
        text += &format!("\nNeeds {}.\n", function.privilege);
    }
    let options: Vec<&Choice> = function.choices().collect();
    if !options.is_empty() {
        text += "\n| option | takes | default | |\n|---|---|---|---|\n";
        text += &options.into_iter().map(option).collect::<String>();
    }
    if !function.fields.is_empty() {
        text += "\n| field | is | |\n|---|---|---|\n";
        text += &function.fields.iter().map(fact).collect::<String>();
    }
    text + format!("\n```rhai excerpt\n{}\n```\n", function.example).as_str()
}

/// One row, and one for each option of the map that it takes.
fn option(option: &Choice) -> String {
    let inner = option.within.iter().map(|inner| row(&format!("{}.{}", option.name, inner.name), inner));
    row(option.name, option) + inner.collect::<String>().as_str()
}

fn row(name: &str, option: &Choice) -> String {
    let default = if option.default.is_empty() { "–".to_owned() } else { format!("`{}`", option.default) };
    format!("| `{name}` | {} | {default} | {} |\n", cell(option.kind), cell(option.summary))
}

/// `std/`: from the modules' own comments.
fn library() -> String {
    let mut text = "\n## The library\n\nReady-made rules and data that come with the program: `import \"std/web\" as web;` and then \
                    `web::nginx(…)`. Each module's rules have names of their own, which `ha status` and `ha clear` use.\n"
        .to_owned();
    for module in standard_library(&Engine::new()) {
        let alias = module.name.rsplit('/').next().unwrap_or(module.name);
        text += &format!(
            "\n### `import \"{}\" as {alias};`\n\n{}\n\n| function | |\n|---|---|\n",
            module.name, module.summary
        );
        for function in module.functions {
            let forms = function.forms.iter().map(|form| format!("`{alias}::{}({})`", function.name, form.join(", ")));
            let forms: Vec<String> = forms.collect();
            text += &format!("| {} | {} |\n", forms.join(", "), cell(&function.summary.replace("\n\n", " ")));
        }
    }
    text
}

fn facts(heading: &str, facts: &[Fact]) -> String {
    format!("\n| {heading} | is | |\n|---|---|---|\n{}", facts.iter().map(fact).collect::<String>())
}

fn fact(fact: &Fact) -> String {
    format!("| `{}` | {} | {} |\n", fact.name, cell(fact.kind), cell(fact.summary))
}

fn codes() -> String {
    let rows = CODES
        .iter()
        .map(|code| format!("| `{}` | {} | {} | {} |\n", code.code, cell(code.title), cell(code.why), cell(code.todo)));
    format!(
        "\n## Codes of `ha check`\n\nWith an E the policy is not loaded; with a W it works, and its author should look. `ha \
         check --explain CODE` says the same.\n\n| code | what is wrong | why it matters | what to do |\n|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
