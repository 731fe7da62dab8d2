//! Actions as functions: in hooks and in what `heal` is given. Each comes to `#{ ok, why }`.

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, failed, frame};
use crate::policy::{
    action::{Giver, read},
    evaluation::Frame,
    language::{Choice, Fact, Function, Group, choice, choices_within, fact},
};

/// What every action comes to.
const RESULT: &[Fact] = &[fact("ok", "truth", "It was done."), fact("why", "text", "What came of it.")];
const ON: Choice = choice("dev", "text", "node.iface", "The interface.");
const SYSTEMD: &str = "root, or a rule of polkit that lets the daemon's user manage units";
const NET_ADMIN: &str = "CAP_NET_ADMIN";

const fn service(name: &'static str, summary: &'static str, example: &'static str) -> Function {
    action(name, &["unit: text"], summary, &[], SYSTEMD, example)
}

const fn action(
    name: &'static str,
    forms: &'static [&'static str],
    summary: &'static str,
    options: &'static [Choice],
    privilege: &'static str,
    example: &'static str,
) -> Function {
    Function { name, group: Group::Action, forms, returns: "map", summary, options, fields: RESULT, privilege, example }
}

/// Actions in the language.
pub(super) const LANGUAGE: &[Function] = &[
    service("service_start", "Has systemd start a unit, and waits until that is done.", "service_start(\"haproxy\");"),
    service("service_stop", "Has systemd stop a unit, and waits until that is done.", "service_stop(\"haproxy\");"),
    service(
        "service_restart",
        "Has systemd restart a unit, and waits until that is done.",
        "service_restart(\"haproxy\");",
    ),
    service(
        "service_reload",
        "Has systemd reload a unit's configuration, and waits until that is done.",
        "service_reload(\"haproxy\");",
    ),
    action(
        "http_send",
        &["url: text", "url: text, options: map"],
        "Sends an HTTP request, again if need be. Ok: a status from 200 to 299.",
        &[
            choice("method", "text", "\"POST\"", "Request method."),
            choice("json", "map or list", "", "Body, sent as JSON."),
            choice("body", "text", "", "Body, sent as it is."),
            choice("headers", "map", "", "Further request headers."),
            choice("bearer", "text or secret", "", "Token to ask with."),
            choice("basic", "text or secret", "", "\"user:password\" to ask with."),
            choice("timeout", "duration", "\"10s\"", "How long one attempt may take."),
            choices_within(
                "retry",
                "",
                "How it is tried again; once only unless this is given.",
                &[
                    choice("attempts", "number", "3", "How often it is tried at most."),
                    choice("backoff", "duration", "\"1s\"", "The pause after the first attempt; it doubles."),
                ],
            ),
        ],
        "",
        "let answer = http_send(\"https://api.example.org/move\", #{ bearer: secret(\"api_token\"), json: #{ to: node.name } });",
    ),
    action(
        "webhook",
        &["name: text, data: map", "name: text, data: list"],
        "Sends data as JSON to an address that ha.toml names: [webhook.NAME]. Tried three times.",
        &[],
        "",
        "webhook(\"chat\", #{ text: `${node.name}: look here` });",
    ),
    action(
        "alert",
        &["text: text", "text: text, options: map"],
        "Tells people: a line in the journal, mail if [mail] is there, and every webhook with `alert = true`.",
        &[choice("level", "text", "\"warning\"", "How grave it is: info, warning or critical.")],
        "",
        "alert(`${node.name} needs somebody`, #{ level: \"critical\" });",
    ),
    action(
        "run",
        &["argv: list", "argv: list, options: map"],
        "Runs a program that `allow_exec` lists, without a shell. Ok: exit code 0.",
        &[choice("timeout", "duration", "\"10s\"", "How long it may take; then its process group is killed.")],
        "what the program needs",
        "run([\"/usr/local/sbin/move-tunnel\", \"here\"]);",
    ),
    action(
        "conntrackd",
        &["commands: list"],
        "Gives commands to conntrackd, one after the other: each is `conntrackd -C /etc/conntrackd/conntrackd.conf` with one \
         of commit, flush, resync, bulk-send, shorten-timers, request-resync. `allow_exec` must list the program.",
        &[],
        "CAP_NET_ADMIN",
        "conntrackd([\"commit\", \"flush\", \"resync\", \"bulk-send\"]);",
    ),
    action(
        "route_replace",
        &["to: text, options: map"],
        "Makes a route, or changes the one there is: \"default\", or a network with its prefix.",
        &[
            choice("via", "text", "", "The next hop."),
            choice("dev", "text", "", "The interface."),
            choice("table", "number", "254", "The table, by number."),
            choice("metric", "number", "", "The metric."),
        ],
        NET_ADMIN,
        "route_replace(\"default\", #{ via: \"192.168.0.1\" });",
    ),
    action(
        "route_del",
        &["to: text", "to: text, options: map"],
        "Removes a route. One that is not there is as good.",
        &[
            choice("via", "text", "", "The next hop."),
            choice("dev", "text", "", "The interface."),
            choice("table", "number", "254", "The table, by number."),
            choice("metric", "number", "", "The metric."),
        ],
        NET_ADMIN,
        "route_del(\"10.0.0.0/8\");",
    ),
    action(
        "addr_add",
        &["address: text", "address: text, options: map"],
        "Puts a further address on an interface. Virtual addresses are not for this: ha holds them itself.",
        &[ON],
        NET_ADMIN,
        "addr_add(\"10.9.0.1/24\", #{ dev: \"eth1\" });",
    ),
    action(
        "addr_del",
        &["address: text", "address: text, options: map"],
        "Removes such an address. One that is not there is as good.",
        &[ON],
        NET_ADMIN,
        "addr_del(\"10.9.0.1/24\", #{ dev: \"eth1\" });",
    ),
    action(
        "garp",
        &["address: text", "address: text, options: map"],
        "Announces an address to the link: gratuitous ARP, or an unsolicited neighbour advertisement.",
        &[ON],
        "CAP_NET_RAW",
        "garp(\"10.9.0.1\", #{ dev: \"eth1\" });",
    ),
    action(
        "sysctl",
        &["key: text, value: value"],
        "Sets a kernel setting.",
        &[],
        "root, and a unit without ProtectKernelTunables",
        "sysctl(\"net.ipv4.ip_forward\", 1);",
    ),
    action(
        "file_write",
        &["path: text, content: value"],
        "Writes a file below /run/ha/files, whole or not at all.",
        &[],
        "",
        "file_write(\"/run/ha/files/role\", \"master\");",
    ),
    action(
        "signal",
        &["process: text, signal: text"],
        "Sends HUP, USR1, USR2, INT or TERM to every process of this name, which is none of ha. Ok: there was one.",
        &[],
        "the same user, or CAP_KILL",
        "signal(\"named\", \"HUP\");",
    ),
];

/// The functions whose first argument is a text, a list; and whose second one is no map of options.
const TEXT: [&str; 10] = [
    "service_start",
    "service_stop",
    "service_restart",
    "service_reload",
    "http_send",
    "alert",
    "route_del",
    "addr_add",
    "addr_del",
    "garp",
];
const TEXT_WITH_OPTIONS: [&str; 7] =
    ["http_send", "alert", "route_replace", "route_del", "addr_add", "addr_del", "garp"];
const LIST: [&str; 2] = ["run", "conntrackd"];
const TWO: [&str; 2] = ["sysctl", "file_write"];

pub(super) fn register(engine: &mut Engine) {
    for name in TEXT {
        engine.register_fn(name, move |call: NativeCallContext<'_>, target: ImmutableString| {
            act(&call, name, &target.into(), None, &Map::new())
        });
    }
    for name in TEXT_WITH_OPTIONS {
        engine.register_fn(name, move |call: NativeCallContext<'_>, target: ImmutableString, options: Map| {
            act(&call, name, &target.into(), None, &options)
        });
    }
    for name in LIST {
        engine.register_fn(name, move |call: NativeCallContext<'_>, list: Array| {
            act(&call, name, &list.into(), None, &Map::new())
        });
    }
    for name in TWO {
        engine.register_fn(name, move |call: NativeCallContext<'_>, target: ImmutableString, second: Dynamic| {
            act(&call, name, &target.into(), Some(&second), &Map::new())
        });
    }
    engine
        .register_fn("run", |call: NativeCallContext<'_>, list: Array, options: Map| {
            act(&call, "run", &list.into(), None, &options)
        })
        .register_fn("webhook", |call: NativeCallContext<'_>, name: ImmutableString, data: Map| {
            act(&call, "webhook", &name.into(), Some(&data.into()), &Map::new())
        })
        .register_fn("webhook", |call: NativeCallContext<'_>, name: ImmutableString, data: Array| {
            act(&call, "webhook", &name.into(), Some(&data.into()), &Map::new())
        })
        .register_fn("signal", |call: NativeCallContext<'_>, process: ImmutableString, signal: ImmutableString| {
            act(&call, "signal", &process.into(), Some(&signal.into()), &Map::new())
        });
}

fn act(
    call: &NativeCallContext<'_>,
    function: &'static str,
    target: &Dynamic,
    second: Option<&Dynamic>,
    options: &Map,
) -> Outcome<Map> {
    let run = match frame(call)? {
        Frame::Hook(run) => run,
        Frame::Check(_) => {
            let why =
                format!("{function}() belongs into hooks and into what heal is given: an evaluation only observes");
            return Err(failed(call, why));
        }
        Frame::Test(_) => {
            return Err(failed(
                call,
                format!("{function}() belongs into hooks; a test fires one and looks at actions()"),
            ));
        }
    };
    let given = Giver { function, target, second, options, iface: run.iface() };
    let performed = read(&given).and_then(|action| run.perform(action)).map_err(|why| failed(call, why))?;
    Ok(Map::from([("ok".into(), performed.ok.into()), ("why".into(), performed.why.into())]))
}
