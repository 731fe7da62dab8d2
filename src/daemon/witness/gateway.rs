//! The way to etcd: its JSON gateway (`/v3/…`), one request at a time, each with a deadline, the members tried in order.

use std::time::Duration;

use serde_json::{Value, json};

use super::session::{Etcd, Trouble, is_gone};
use crate::{
    config::{Login, Witness},
    policy::{
        SecretOrText,
        probe::{Data, Field, HttpRequest, ProbeKind, ProbeRequest, Prober, TlsRequest},
    },
    probe::RealProber,
};

/// Codes of gRPC by which a member says that it cannot answer at the moment: deadline exceeded, unavailable.
const AWAY: [i64; 2] = [4, 14];
/// No answer is longer, in bytes. All keys of a prefix are asked for at once: 510 at most, of some 300 bytes each.
const LONGEST: usize = 1 << 20;
/// It knows who asks, and they may not: permission denied.
const DENIED: i64 = 7;

/// See the module.
#[derive(Debug)]
pub(super) struct Gateway {
    prober: RealProber,
    endpoints: Vec<String>,
    login: Option<Login>,
    tls: TlsRequest,
    timeout: Duration,
    /// The member that answered last.
    current: usize,
    token: Option<String>,
}

impl Gateway {
    pub(super) fn new(witness: &Witness, prober: RealProber) -> Self {
        Self {
            prober,
            endpoints: witness.endpoints.clone(),
            login: witness.login.clone(),
            tls: TlsRequest { ca: witness.ca.clone(), ..TlsRequest::default() },
            timeout: witness.timeout,
            current: 0,
            token: None,
        }
    }

    /// The members in order, from the one that answered last.
    fn ask_any(&mut self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let mut silent = Vec::new();
        for step in 0..self.endpoints.len() {
            let index = (self.current + step) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(index) else { break };
            match self.ask_one(endpoint, path, body) {
                Err(Trouble::Silent(why)) => silent.push(format!("{endpoint}: {why}")),
                answered => {
                    self.current = index;
                    return answered;
                }
            }
        }
        // Another one first, the next time.
        self.current = (self.current + 1) % self.endpoints.len().max(1);
        Err(Trouble::Silent(silent.join("; ")))
    }

    fn ask_one(&self, endpoint: &str, path: &str, body: &Value) -> Result<Value, Trouble> {
        let data = Data { text: SecretOrText::Text(body.to_string()), content_type: Some("application/json") };
        let token = self.token.iter().map(|token| ("Authorization".to_owned(), SecretOrText::Text(token.clone())));
        let http = HttpRequest {
            method: "POST".to_owned(),
            status: vec![(200, 599)],
            data: Some(data),
            headers: token.collect(),
            tls: self.tls.clone(),
            max_body: LONGEST,
            ..HttpRequest::get(format!("{endpoint}/v3/{path}"))
        };
        let request = ProbeRequest {
            kind: ProbeKind::Http(http),
            timeout: self.timeout,
            bind: None,
            iface: None,
            family: None,
            name: None,
        };
        let outcome = self.prober.perform(&request);
        if !outcome.ok {
            return Err(Trouble::Silent(outcome.why));
        }
        let status = Field::number_in(&outcome.fields, "status");
        let body = match outcome.fields.get("body") {
            Some(Field::Text(body)) => body.as_str(),
            Some(_) | None => "",
        };
        read(status, body)
    }

    /// Who asks, told to etcd once for many questions. Where it does not want to know, nobody says it.
    fn log_in(&mut self) -> Result<(), Trouble> {
        let Some(login) = &self.login else { return Ok(()) };
        let password = self.prober.secrets().read(&login.password);
        let password = password.map_err(|error| Trouble::Silent(error.to_string()))?;
        let body = json!({ "name": login.user, "password": password.as_str().trim() });
        self.token = None;
        let said = match self.ask_any("auth/authenticate", &body) {
            Err(Trouble::Refused { message, .. }) if message.contains("authentication is not enabled") => return Ok(()),
            said => said?,
        };
        let token = said.get("token").and_then(Value::as_str);
        self.token = Some(token.ok_or_else(|| Trouble::Silent("no token in the answer".to_owned()))?.to_owned());
        Ok(())
    }
}

impl Etcd for Gateway {
    fn ask(&mut self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let is_new = self.token.is_none();
        if is_new {
            self.log_in()?;
        }
        let said = self.ask_any(path, body);
        if self.login.is_none() || !said.as_ref().is_err_and(is_of_who_asks) {
            return said;
        }
        self.token = None;
        if is_new {
            return said;
        }
        self.log_in()?;
        self.ask_any(path, body)
    }
}

/// Whether another token may get another answer. Tokens end, and by many words: some kinds with every change of a user or role
/// (JWT). So every refusal may be one of the token, but for those that say something else.
fn is_of_who_asks(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Refused { code, message } => *code != DENIED && !is_gone(message),
        Trouble::Silent(_) => false,
    }
}

/// What an answer says. Whatever is no answer of etcd is silence: nothing follows from it.
fn read(status: i64, body: &str) -> Result<Value, Trouble> {
    // What is longer was cut off, in the middle of a letter maybe.
    if body.len() + 4 > LONGEST {
        return Err(Trouble::Silent(format!("its answer is longer than {} MiB", LONGEST >> 20)));
    }
    let said: Option<Value> = serde_json::from_str(body).ok();
    let Some(said) = said.filter(Value::is_object) else {
        return Err(Trouble::Silent(format!("its answer is none of etcd (status {status})")));
    };
    // A stream has its answers, and its errors, one level below.
    let error = said.get("error").and_then(|error| if error.is_object() { error.get("message") } else { Some(error) });
    if status == 200 && error.is_none() {
        return Ok(said);
    }
    let coded = said.get("error").filter(|error| error.is_object()).unwrap_or(&said);
    let code = coded.get("code").or_else(|| coded.get("grpc_code")).and_then(Value::as_i64).unwrap_or(0);
    let message = error.and_then(Value::as_str).map_or_else(|| format!("status {status}"), str::to_owned);
    if AWAY.contains(&code) || status >= 500 {
        Err(Trouble::Silent(message))
    } else {
        Err(Trouble::Refused { code, message })
    }
}

#[cfg(test)]
mod tests;
