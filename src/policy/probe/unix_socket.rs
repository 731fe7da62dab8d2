//! `unix_socket`: a conversation with a server of this machine.

use std::{path::PathBuf, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Fields, ProbeKind,
    file::absolute,
    kind::{Kind, Reach, text},
    talk::{self, Talk},
    target::Target,
};
use crate::policy::{
    duration,
    language::{Function, Group},
    options::Options,
};

/// Options of [`ProbeKind::UnixSocket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocketRequest {
    /// Absolute.
    pub path: PathBuf,
    /// What is sent and what is expected.
    pub talk: Talk,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "unix_socket",
        group: Group::Probe,
        forms: &["path: text", "path: text, options: map"],
        returns: "probe",
        summary: "A connection to a stream socket of this machine. Ok: connected, and the expected answer came. Where \
                  something is sent and nothing expected, the answer is read until its end, or until the timeout.",
        options: &[talk::SEND, talk::EXPECT, talk::EXPECT_RE],
        fields: &[talk::DATA],
        privilege: "write permission on the socket",
        example: "watch(\"haproxy\", unix_socket(\"/run/haproxy/admin.sock\", #{ send: \"show stat\\n\" }));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::UnixSocket(UnixSocketRequest { path: absolute(&text(target))?, talk: Talk::text(options)? }))
}

impl Asked for UnixSocketRequest {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn usual(&self) -> Fields {
        self.talk.usual().into_iter().collect()
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let is_conversation = self.talk.expects() || !self.talk.send.is_empty();
        self.talk.judge_fields(fields, if is_conversation { "answered" } else { "connected" })
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}
