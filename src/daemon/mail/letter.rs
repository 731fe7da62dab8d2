//! What a mail says: enough to know, on a phone at night, whether to get up.

use ipnet::IpNet;
use jiff::Timestamp;

use crate::{daemon::hooks::Moved, node::Role};

/// Longer subjects are cut; the body has the whole reason.
const SUBJECT_MAX: usize = 200;

/// A mail, without its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    subject: String,
    body: String,
}

impl Letter {
    /// The subject becomes one line of at most 200 characters.
    #[must_use]
    pub fn new(subject: &str, body: impl Into<String>) -> Self {
        let line = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let subject = match line.char_indices().nth(SUBJECT_MAX) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line,
        };
        Self { subject, body: body.into() }
    }

    /// What a policy wants people to know: `[K1] the floating address was not moved`.
    #[must_use]
    pub fn alert(node: &str, text: &str, at: Timestamp) -> Self {
        let body = format!("{text}\n\nnode (router_id): {node}\ntime:             {}\n", whole_seconds(at));
        Self::new(&format!("[{node}] {text}"), body)
    }

    /// One line.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Plain text.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// A change of role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition<'a> {
    /// This node's name.
    pub node: &'a str,
    /// Whose role changed.
    pub instance: &'a str,
    /// The role before.
    pub from: Role,
    /// The role now.
    pub to: Role,
    /// Why.
    pub reason: &'a str,
    /// When.
    pub at: Timestamp,
    /// The virtual addresses of the instance.
    pub addresses: &'a [IpNet],
}

impl Transition<'_> {
    /// The mail about it: `[K1] VI_1 is master (backup before): no advertisement for 3.609s`.
    #[must_use]
    pub fn letter(&self) -> Letter {
        let Self { node, instance, from, to, reason, .. } = self;
        let before = if from == to { "from the start".to_owned() } else { format!("{from} before") };
        let subject = format!("[{node}] {instance} is {to} ({before}): {reason}");
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let body = format!(
            "{meaning}\n\
             \n\
             node (router_id): {node}\n\
             instance:         {instance}\n\
             from:             {from}\n\
             to:               {to}\n\
             reason:           {reason}\n\
             time:             {at}\n\
             addresses:        {addresses}\n",
            meaning = self.meaning(),
            at = whole_seconds(self.at),
            addresses = addresses.join(", "),
        );
        Letter::new(&subject, body)
    }

    fn meaning(&self) -> String {
        let node = self.node;
        match (self.from, self.to) {
            (_, Role::Master) => format!("{node} now holds the addresses below and answers for them."),
            (Role::Master, Role::Backup) => {
                format!("{node} no longer holds the addresses below; another node is to serve. {node} stands by.")
            }
            (Role::Fault | Role::Backup, Role::Backup) => {
                format!("{node} stands by: it can take the addresses below if the serving node fails.")
            }
            (Role::Master, Role::Fault) => format!(
                "{node} no longer holds the addresses below and cannot serve them; another node is to serve. {node} \
                 comes back by itself once the reason is gone. `ha status` on {node} says more."
            ),
            (Role::Fault | Role::Backup, Role::Fault) => format!(
                "{node} can no longer take the addresses below if the serving node fails. It comes back by itself once \
                 the reason is gone. `ha status` on {node} says more."
            ),
        }
    }
}

/// The mail about a group whose members have all come to another role: `[K1] group G1 is master (backup before): …`.
#[must_use]
pub fn of_group(node: &str, moved: &Moved, at: Timestamp) -> Letter {
    let Moved { group, from, to, reason, instances } = moved;
    let before = from.map(|from| format!(" ({from} before)")).unwrap_or_default();
    let body = format!(
        "Every instance of the group {group} is {to} on {node}.\n\nnode (router_id): {node}\ngroup:            {group}\n\
         instances:        {instances}\nto:               {to}\nreason:           {reason}\ntime:             {at}\n",
        instances = instances.join(", "),
        at = whole_seconds(at),
    );
    Letter::new(&format!("[{node}] group {group} is {to}{before}: {reason}"), body)
}

/// A rule whose author wants somebody to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert<'a> {
    /// This node's name.
    pub node: &'a str,
    /// The instance its policy judges.
    pub instance: &'a str,
    /// What is so, or was.
    pub text: &'a str,
    /// It is up again.
    pub over: bool,
    /// When.
    pub at: Timestamp,
}

impl Alert<'_> {
    /// The mail about it: `[K1] VI_1: rule web of policy check_local is down: status 500`.
    #[must_use]
    pub fn letter(&self) -> Letter {
        let Self { node, instance, text, over, at } = self;
        let subject =
            if *over { format!("[{node}] {instance}: over: {text}") } else { format!("[{node}] {instance}: {text}") };
        let meaning = if *over {
            "The rule is up again, or is judged no more."
        } else {
            "A rule that was marked with `alert` is down. What follows for the address is in a mail of its own, if anything \
             does; `ha status` says more."
        };
        let body = format!(
            "{meaning}\n\nnode (router_id): {node}\ninstance:         {instance}\nrule:             {text}\ntime:             {at}\n",
            at = whole_seconds(*at),
        );
        Letter::new(&subject, body)
    }
}

/// RFC 3339, in UTC.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_one_short_line_whatever_the_reason() {
        let letter = Letter::new("a\r\nBcc: everybody@example.org\n  b", "");
        assert_eq!(letter.subject(), "a Bcc: everybody@example.org b");
        let long = Letter::new(&"é".repeat(300), "");
        assert_eq!(long.subject().chars().count(), SUBJECT_MAX + 1);
    }

    #[test]
    fn an_alert_says_which_rule_and_when_it_is_over() {
        let text = "rule web of policy check_local is down: status 500";
        let at = "2026-08-22T10:20:00.123Z".parse().unwrap();
        let alert = Alert { node: "K1", instance: "VI_1", text, over: false, at };
        assert_eq!(alert.letter().subject(), "[K1] VI_1: rule web of policy check_local is down: status 500");
        assert!(
            alert.letter().body().contains("time:             2026-08-22T10:20:00Z\n"),
            "{}",
            alert.letter().body()
        );
        let over = Alert { over: true, ..alert };
        assert_eq!(over.letter().subject(), "[K1] VI_1: over: rule web of policy check_local is down: status 500");
    }

    #[test]
    fn the_body_says_what_it_means_and_all_that_is_known() {
        let addresses = ["192.168.0.60/24".parse().unwrap(), "192.168.0.61/24".parse().unwrap()];
        let letter = Transition {
            node: "K1",
            instance: "VI_1",
            from: Role::Master,
            to: Role::Fault,
            reason: "web: status 500",
            at: "2026-08-22T10:20:00.123Z".parse().unwrap(),
            addresses: &addresses,
        }
        .letter();
        assert_eq!(letter.subject(), "[K1] VI_1 is fault (master before): web: status 500");
        let (meaning, facts) = letter.body().split_once("\n\n").unwrap();
        assert!(meaning.contains("cannot serve") && meaning.contains("comes back by itself"), "{meaning}");
        assert_eq!(
            facts,
            "node (router_id): K1\ninstance:         VI_1\nfrom:             master\nto:               fault\n\
             reason:           web: status 500\ntime:             2026-08-22T10:20:00Z\n\
             addresses:        192.168.0.60/24, 192.168.0.61/24\n"
        );
    }
}
