//! From a configuration of keepalived to one of `ha`: `ha.toml`, a policy for each check, secrets apart, and what became of
//! every line.
//!
//! Nothing is left out silently. What `ha` has is mapped; what changes nothing is dropped with a note; what would change the
//! meaning is refused with a sentence that says what to do. The grammar is keepalived's as measured on version 2.2.7 and as
//! its manual has it, the words are all that 2.4.3 registers. This floor reads no file: what an `include` names comes
//! through [`Files`].
//!
//! `expand` → `tree` → `reading` → `outline` → `writing` → `loads`; `keyword` has the words, `ledger` what each line came to.

mod check;
mod expand;
mod glob;
pub mod keyword;
pub mod ledger;
mod line;
mod loads;
mod open_secret;
mod outline;
mod reading;
mod sequence;
mod tree;
mod variable;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use self::{
    check::{Asked, translate},
    keyword::Context,
    ledger::{Ledger, Place},
    outline::{Outline, Section, plain_name},
    reading::{Defined, Globals, Script, Track, Weight},
    tree::Node,
};

/// The files that a configuration names.
pub trait Files {
    /// The names in a directory, in any order; none if it cannot be read.
    fn list(&self, directory: &str) -> Vec<String>;
    /// Whether there is something at this path, whatever it is.
    fn exists(&self, path: &str) -> bool;
    /// The text of a file.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, for people.
    fn read(&self, path: &str) -> Result<String, String>;
}

/// What the result depends on besides the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// This machine's name; the node's where no `router_id` is written.
    pub name: String,
    /// What `@id` is compared with: keepalived's `-i`, else the name up to its first dot.
    pub id: String,
}

/// A file to be written, relative to where all of them go.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// `ha.toml`, `policies/NAME.rhai`, `secrets/NAME`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Nobody but its owner may read it.
    pub private: bool,
}

/// Does not show what is private.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("path", &self.path).field("private", &self.private).finish_non_exhaustive()
    }
}

/// What came of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// What to write, in order; meant only if nothing was refused.
    pub outputs: Vec<Output>,
    /// What became of every line.
    pub ledger: Ledger,
}

impl Import {
    /// Whether something was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.ledger.refusals().next().is_some()
    }

    /// Every line, with what it came to; passwords are not shown.
    #[must_use]
    pub fn explanation(&self) -> String {
        writing::explain(&self.ledger)
    }

    /// What was refused, a paragraph each: the place, the line, and what to do.
    #[must_use]
    pub fn refusals(&self) -> String {
        let line = |place: Place| {
            let file = self.ledger.files().get(place.file);
            file.and_then(|file| file.lines.get(place.line.saturating_sub(1))).map_or("", |line| line.trim())
        };
        let one = |(place, todo): (Place, &str)| {
            let line = self.ledger.shown(line(place));
            format!("{}: {line}\n    {}.\n", self.ledger.name(place), self.ledger.masked(todo))
        };
        self.ledger.refusals().filter(|(_, todo)| !todo.is_empty()).map(one).collect()
    }
}

/// Reads `text`, which is that of `path`. It always comes to an end and never fails: see [`Import::is_refused`].
#[must_use]
pub fn import(path: &str, text: &str, machine: &Machine, files: &dyn Files) -> Import {
    let mut ledger = Ledger::default();
    let lines = expand::expand(path, text, &machine.id, files, &mut ledger);
    let (nodes, ending) = tree::build(&lines, &mut ledger);
    let mut outline = Outline { ending, ..Outline::default() };
    let read = reading::sorted(Context::Root, &nodes, &mut ledger);
    for node in nodes.iter().filter(|node| !read.contains(node)) {
        outline.comments.extend(node.all_comments());
    }
    let of = |keyword: &str| read.iter().filter(|node| node.keyword() == keyword).copied().collect::<Vec<&Node>>();
    let instances = of("vrrp_instance");
    let together = of("vrrp_sync_group");
    let mails = reading::mails(&instances) || reading::mails(&together);
    let global = of("global_defs");
    reading::netns(&of("net_namespace"), &mut outline, &mut ledger);
    let mut globals = reading::globals(&global, &machine.name, mails, &mut outline, &mut ledger);
    (globals.members, globals.weightless) = (reading::members(&together), reading::weightless(&together));
    reading::garp_groups(&of("garp_group"), &mut globals, &mut ledger);
    reading::events(&[instances.clone(), together.clone()].concat(), &mut outline, &mut ledger);
    let scripts: Vec<Script> =
        of("vrrp_script").iter().filter_map(|node| reading::script(node, &globals, &mut ledger)).collect();
    let tracked: Vec<&Node> = [of("track_file"), of("vrrp_track_file")].concat();
    let running = of("vrrp_track_process");
    let defined = Defined {
        files: tracked.iter().filter_map(|node| reading::file(node, &mut ledger)).collect(),
        processes: running.iter().filter_map(|node| reading::process(node, &mut ledger)).collect(),
        numbers: reading::Numbers::of(&instances, files),
    };
    let groups_of_garp = of("garp_group");
    let apart = tracked.iter().chain(&running).chain(&groups_of_garp);
    outline.comments.extend(apart.flat_map(|node| node.all_comments()));
    let mut checks = Checks { files, written: BTreeMap::new(), used: Vec::new(), ignored: Vec::new() };
    sections(&instances, (&globals, &scripts, &defined), &mut checks, &mut outline, &mut ledger);
    groups(&together, (&globals, &scripts, &defined), &mut checks, &mut outline, &mut ledger);
    for script in scripts.iter().filter(|script| !checks.used.contains(&script.name)) {
        let ignored = checks.ignored.contains(&script.name);
        let why = if ignored {
            "an owner (priority 255) ignores weights, in keepalived and here"
        } else {
            "no instance looks at it: keepalived does not run it"
        };
        ledger.dropped(script.place, why);
        ledger.dropped(script.command_at, "");
        outline.comments.extend(script.comments.iter().cloned());
    }
    reading::links(&of("interface_up_down_delays"), &mut outline, &mut ledger);
    if outline.instances.is_empty() {
        let place = Place { file: 0, line: 1 };
        ledger.refused(place, "there is no vrrp_instance in this file: there is no address to keep");
    }
    refuse_the_forgotten(&mut ledger);
    let name = path.rsplit('/').next().unwrap_or(path);
    let configuration = writing::configuration(&outline, name);
    loads::refuse_what_does_not_load(&configuration, &mut ledger);
    Import { outputs: outputs(&outline, configuration), ledger }
}

fn sections(
    nodes: &[&Node],
    (globals, scripts, defined): (&Globals, &[Script], &Defined),
    checks: &mut Checks<'_>,
    outline: &mut Outline,
    ledger: &mut Ledger,
) {
    for node in nodes {
        let (mut section, tracks) = reading::instance(node, globals, scripts, defined, ledger);
        let weights_count = !section.entries.iter().any(|entry| entry.key == "priority" && entry.value == "255");
        outline.secrets.append(&mut section.secrets);
        let (counting, ignored): (Vec<Track>, Vec<Track>) =
            tracks.into_iter().partition(|track| weights_count || track.weight.number == 0);
        checks.used.extend(counting.iter().map(|track| track.script.name.clone()));
        checks.ignored.extend(ignored.iter().map(|track| track.script.name.clone()));
        for track in &counting {
            section.policies.extend(checks.policy(track, outline, ledger));
        }
        if outline.instances.iter().any(|other| other.name == section.name) {
            ledger.refused(
                node.place,
                format!("there is another instance that is called {}: rename one of them", section.name),
            );
        }
        twice(&section, outline, node, ledger);
        reading::name_device(&mut section, &outline.instances, node, ledger);
        outline.instances.push(section);
    }
}

fn groups(
    nodes: &[&Node],
    (globals, scripts, defined): (&Globals, &[Script], &Defined),
    checks: &mut Checks<'_>,
    outline: &mut Outline,
    ledger: &mut Ledger,
) {
    let owns = |section: &Section| section.entries.iter().any(|entry| entry.key == "priority" && entry.value == "255");
    let instances: Vec<_> = outline.instances.iter().map(|section| (section.name.clone(), owns(section))).collect();
    let mut taken = Vec::new();
    for node in nodes {
        let Some((group, members, tracks)) =
            reading::group(node, &instances, &mut taken, (globals, scripts, defined), ledger)
        else {
            continue;
        };
        outline.groups.push(group);
        checks.used.extend(tracks.iter().map(|track| track.script.name.clone()));
        reading::raise_members(&members, &tracks, node, &mut outline.instances, ledger);
        for track in &tracks {
            let Some(policy) = checks.policy(track, outline, ledger) else { continue };
            // What a policy of one finds holds for all.
            let first = outline.instances.iter_mut().find(|section| Some(&section.name) == members.first());
            if let Some(first) = first.filter(|section| !section.policies.contains(&policy)) {
                first.policies.push(policy);
            }
        }
    }
}

/// One virtual router is one instance.
fn twice(section: &Section, outline: &Outline, node: &Node, ledger: &mut Ledger) {
    let value = |section: &Section, key: &str| {
        section.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone()).unwrap_or_default()
    };
    let six = |section: &Section| {
        let list = value(section, "addresses");
        let mut lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.find_map(|line| line.split('"').nth(1)).is_some_and(|first| first.contains(':'))
    };
    let same = |other: &&Section| {
        let named = !value(section, "virtual_router_id").is_empty();
        named
            && ["interface", "virtual_router_id"].iter().all(|key| value(other, key) == value(section, key))
            && six(other) == six(section)
    };
    if let Some(other) = outline.instances.iter().find(same) {
        let apart = ["multicast_group", "peers"].iter().any(|key| value(other, key) != value(section, key));
        let limit = if apart {
            ". keepalived tells them apart by mcast_dst_ip or the peers, which ha does not: this is its limit, no error of the file"
        } else {
            ""
        };
        let todo = format!(
            "{} has this virtual_router_id on this interface: give one of them another on every node{limit}",
            other.name
        );
        ledger.refused(node.place, todo);
    }
    for other in &outline.instances {
        for (place, entry) in &section.routing {
            if other.routing.iter().any(|(taken, theirs)| taken == place && theirs != entry) {
                let todo =
                    format!("{} has another one in its place, and one would take the other's: keep one", other.name);
                ledger.refused(node.place, format!("{place}: {todo}"));
            }
        }
        let (ours, theirs) = (held(section), held(other));
        for address in ours.intersection(&theirs) {
            let todo = format!(
                "{address} belongs to {} as well, and two virtual routers would fight for it: keep it in one of them",
                other.name
            );
            ledger.refused(node.place, todo);
        }
    }
}

/// The bare addresses of an instance: what is quoted in its lists and is no setting of an address.
fn held(section: &Section) -> BTreeSet<IpAddr> {
    let lists = section.entries.iter().filter(|entry| entry.key.starts_with("addresses"));
    let lines = lists.flat_map(|entry| entry.value.lines()).filter(|line| !line.trim_start().starts_with('#'));
    let text: String = lines.collect();
    let pieces: Vec<&str> = text.split('"').collect();
    let quoted = pieces.windows(2).step_by(2).filter_map(|two| match two {
        [before, quoted] => {
            let before = before.trim_end();
            let is_address = before.ends_with(['[', ',']) || before.ends_with("address =");
            is_address.then(|| quoted.split('/').next().unwrap_or_default())
        }
        _ => None,
    });
    quoted.filter_map(|text| text.parse().ok()).collect()
}

/// The policies that were written.
struct Checks<'a> {
    files: &'a dyn Files,
    /// By name: the check and what it does.
    written: BTreeMap<String, (String, Weight)>,
    /// Checks that an instance looks at.
    used: Vec<String>,
    /// Checks that an owner would look at, but for their weight.
    ignored: Vec<String>,
}

impl Checks<'_> {
    /// The name of the policy for a check with this weight, written if it is not yet.
    fn policy(&mut self, track: &Track, outline: &mut Outline, ledger: &mut Ledger) -> Option<String> {
        let script = &track.script;
        let wanted = (script.name.clone(), track.weight);
        let plain = plain_name(&script.name);
        let mut name = plain.clone();
        let mut number = 1;
        while let Some(there) = self.written.get(&name) {
            if *there == wanted {
                return Some(name);
            }
            number += 1;
            name = format!("{plain}_{number}");
        }
        let asked =
            Asked { name: &script.name, timeout: script.timeout, user: script.user.as_deref(), files: self.files };
        let translated = match translate(&script.command, asked) {
            Ok(translated) => translated,
            Err(todo) => {
                ledger.refused(script.command_at, todo);
                return None;
            }
        };
        for (secret, content) in &translated.secrets {
            ledger.hide(content);
            if !outline.secrets.iter().any(|(known, _)| known == secret) {
                outline.secrets.push((secret.clone(), content.clone()));
            }
        }
        for program in translated.programs.iter().filter(|program| !program.starts_with('/')) {
            ledger
                .refused(script.command_at, format!("{program} has no directory: write the whole path of the program"));
        }
        ledger.mapped(script.command_at, translated.expr.text());
        for note in &translated.notes {
            ledger.mapped(script.command_at, note.clone());
        }
        if ["/bin/", "/sbin/", "/lib/"].iter().any(|old| script.command.starts_with(old)) {
            let note = "keepalived 2.4.3 disables a check of root's that is written with /bin/, where that is a link, and serves unchecked";
            ledger.mapped(script.command_at, note);
        }
        if !translated.secrets.is_empty() {
            ledger.mapped(script.command_at, "what authorises is in secrets/, not in the policy");
        }
        let passwords = open_secret::passwords(&script.command);
        passwords.iter().for_each(|password| ledger.hide(password));
        let command = ledger.masked(&script.command);
        outline.allow_exec.extend(translated.programs.iter().cloned());
        let mut policy = writing::policy(&name, script, track.weight, &translated, &command);
        policy.private = passwords.iter().any(|password| policy.text.contains(password));
        if policy.private {
            ledger.mapped(script.command_at, open_secret::NOTE);
        }
        outline.policies.push(policy);
        self.written.insert(name.clone(), wanted);
        Some(name)
    }
}

fn outputs(outline: &Outline, configuration: String) -> Vec<Output> {
    let mut outputs = vec![Output { path: "ha.toml".to_owned(), text: configuration, private: false }];
    outputs.extend(outline.policies.iter().map(|policy| Output {
        path: format!("policies/{}.rhai", policy.name),
        text: policy.text.clone(),
        private: policy.private,
    }));
    outputs.extend(outline.secrets.iter().map(|(name, content)| Output {
        path: format!("secrets/{name}"),
        text: content.clone(),
        private: true,
    }));
    outputs
}

/// A line that says something and of which nothing is known is refused: nothing is left out silently.
fn refuse_the_forgotten(ledger: &mut Ledger) {
    let says = |line: &str| {
        let code = line::split_comment(line).0;
        code.chars().any(|letter| !matches!(letter, '{' | '}') && !letter.is_whitespace())
    };
    let mut forgotten = Vec::new();
    for (file, read) in ledger.files().iter().enumerate() {
        let lines = read.lines.iter().enumerate().map(|(number, line)| (Place { file, line: number + 1 }, line));
        forgotten
            .extend(lines.filter(|(place, line)| says(line) && ledger.fate(*place).is_none()).map(|(place, _)| place));
    }
    for place in forgotten {
        ledger.refused(place, "this line is not understood where it stands: mend or remove it");
    }
}
