//! Does for real what hooks and repairs want done. What needs a privilege that this process lacks is said, and not done.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, mpsc::RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::{
    config::{Config, Permits, Webhook, WebhookUrl},
    linux::{announce_address, change_address, change_route, signal_processes},
    policy::{
        Secret, SecretOrText,
        action::{Action, AddressChange, AlertLevel, ConntrackdCommand, HttpSend, Network, Performed, Performer},
        probe::{Data, ErrorKind, ExecRequest, HttpRequest, ProbeKind, ProbeRequest, Prober},
    },
    probe::RealProber,
};

/// Where `file_write` writes.
const DIRECTORY: &str = "/run/ha/files";
/// How long one attempt at a webhook may take, how often it is tried, and the first pause.
const WEBHOOK_TIME: Duration = Duration::from_secs(5);
const WEBHOOK_ATTEMPTS: u32 = 3;
const WEBHOOK_BACKOFF: Duration = Duration::from_secs(1);
/// How much of a program's output is looked at.
const RUN_OUTPUT: usize = 4096;
/// Where conntrackd finds its settings, and how long one command may take.
const CONNTRACKD_CONF: &str = "/etc/conntrackd/conntrackd.conf";
const CONNTRACKD_TIME: Duration = Duration::from_secs(10);
/// How much later than promised an answer of the prober may come.
const GRACE: Duration = Duration::from_millis(500);

/// Something that people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// How grave it is.
    pub level: AlertLevel,
    /// What it says.
    pub text: String,
}

/// What of the configuration counts.
#[derive(Debug, Default)]
struct Settings {
    webhooks: Vec<Webhook>,
    permits: Permits,
    /// Virtual addresses: a lease keeps them, and nobody else may.
    leased: BTreeSet<IpAddr>,
}

/// The real one.
pub struct RealPerformer {
    prober: RealProber,
    settings: RwLock<Arc<Settings>>,
    /// Takes an alarm for the journal and the mail, without waiting; false if it cannot.
    alarm: Box<dyn Fn(Alarm) -> bool + Send + Sync>,
}

impl RealPerformer {
    /// Sends through the prober's sockets, finds secrets where that does.
    pub fn new(prober: RealProber, config: &Config, alarm: impl Fn(Alarm) -> bool + Send + Sync + 'static) -> Self {
        let performer = Self { prober, settings: RwLock::default(), alarm: Box::new(alarm) };
        performer.reconfigure(config);
        performer
    }

    /// From now on what this configuration has.
    pub fn reconfigure(&self, config: &Config) {
        let virtual_addresses = config.instances.iter().flat_map(|instance| instance.held_addresses());
        let settings = Settings {
            webhooks: config.webhooks.clone(),
            permits: config.permits.clone(),
            leased: virtual_addresses.map(IpNet::addr).collect(),
        };
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn webhook(&self, name: &str, data: &str, within: Duration) -> Performed {
        let settings = self.settings();
        match settings.webhooks.iter().find(|webhook| webhook.name == name) {
            Some(webhook) => self.post(webhook, data, within),
            None => Performed::refused(format!("there is no [webhook.{name}] in the configuration")),
        }
    }

    fn post(&self, webhook: &Webhook, data: &str, within: Duration) -> Performed {
        let url = match &webhook.url {
            WebhookUrl::Plain(url) => url.clone(),
            WebhookUrl::Secret(secret) => match self.reveal(secret) {
                Ok(url) => url,
                Err(why) => return Performed::failed(why),
            },
        };
        let sent = self.send(
            &HttpSend {
                url: url.clone(),
                method: "POST".to_owned(),
                headers: Vec::new(),
                body: Some((data.to_owned(), "application/json")),
                authorization: None,
                timeout: WEBHOOK_TIME,
                attempts: WEBHOOK_ATTEMPTS,
                backoff: WEBHOOK_BACKOFF,
            },
            within,
        );
        // Whoever knows the address may send.
        Performed { why: sent.why.replace(&url, "***"), ..sent }
    }

    /// A virtual address that was put there would stay when this node hands over, on both nodes then; one that was removed
    /// would be missing where this node serves.
    fn address(&self, change: AddressChange, network: Network, dev: &str) -> Performed {
        let address = network.address;
        if self.settings().leased.contains(&address) {
            let why =
                format!("{address} is a virtual address of this node: ha itself holds it and lets it go; not done");
            return Performed::refused(why);
        }
        came(change_address(change, network, dev))
    }

    fn reveal(&self, secret: &Secret) -> Result<String, String> {
        let revealed = self.prober.secrets().read(secret).map_err(|error| error.to_string())?;
        Ok(revealed.as_str().trim().to_owned())
    }

    /// The journal and the mail at once, every webhook that wants alarms after them.
    fn alert(&self, text: &str, level: AlertLevel, within: Duration) -> Performed {
        let until = Instant::now() + within;
        let told = (self.alarm)(Alarm { level, text: text.to_owned() });
        let data = crate::policy::action::alert_data(text, level);
        let mut failures: Vec<String> = if told { Vec::new() } else { vec!["too many alarms wait already".to_owned()] };
        for webhook in self.settings().webhooks.iter().filter(|webhook| webhook.alert) {
            let sent = self.post(webhook, &data, until.saturating_duration_since(Instant::now()));
            if !sent.ok {
                failures.push(format!("webhook {}: {}", webhook.name, sent.why));
            }
        }
        if failures.is_empty() { Performed::done("told") } else { Performed::failed(failures.join("; ")) }
    }

    /// A program, by the prober's own hand: what `allow_exec` does not list is not started.
    fn run(&self, argv: Vec<String>, timeout: Duration, within: Duration) -> Performed {
        let exec = ExecRequest {
            argv,
            user: None,
            environment: Vec::new(),
            cwd: None,
            input: None,
            code: 0,
            expect: None,
            max_output: RUN_OUTPUT,
        };
        self.ask(ProbeKind::Exec(exec), timeout.min(within))
    }

    /// One command after the other, until one fails.
    fn conntrackd(&self, commands: &[ConntrackdCommand], within: Duration) -> Performed {
        let until = Instant::now() + within;
        let is_it = |program: &&PathBuf| program.file_name().is_some_and(|name| name == "conntrackd");
        let Some(program) = self.settings().permits.allow_exec.iter().find(is_it).cloned() else {
            return Performed::refused("allow_exec in ha.toml does not list conntrackd");
        };
        for command in commands {
            let argv =
                [program.display().to_string(), "-C".to_owned(), CONNTRACKD_CONF.to_owned(), command.flag().to_owned()];
            let left = until.saturating_duration_since(Instant::now());
            let ran = self.run(argv.into(), CONNTRACKD_TIME, left);
            if !ran.ok {
                return Performed { why: format!("{}: {}", command.word(), ran.why), ..ran };
            }
        }
        Performed::done("done")
    }

    /// Has the prober do something and waits for what comes of it.
    fn ask(&self, kind: ProbeKind, timeout: Duration) -> Performed {
        if timeout.is_zero() {
            return Performed::failed("no time is left for it");
        }
        let request = ProbeRequest::new(kind, timeout);
        match self.prober.start(&request).recv_timeout(timeout + GRACE) {
            Ok(outcome) => Performed {
                ok: outcome.ok,
                why: outcome.why,
                refused: !outcome.ok && outcome.error == ErrorKind::Denied,
            },
            Err(RecvTimeoutError::Timeout) => Performed::failed("no answer in time"),
            Err(RecvTimeoutError::Disconnected) => Performed::failed("it was not tried"),
        }
    }

    /// Until it succeeds, it has been tried often enough, or time is up.
    fn send(&self, send: &HttpSend, within: Duration) -> Performed {
        let until = Instant::now() + within;
        let mut pause = send.backoff;
        for attempt in 1.. {
            let left = until.saturating_duration_since(Instant::now());
            let sent = self.send_once(send, left);
            let left = until.saturating_duration_since(Instant::now());
            if sent.ok || attempt >= send.attempts || left <= pause {
                let tries = if attempt > 1 { format!(" ({attempt} attempts)") } else { String::new() };
                return Performed { why: format!("{}{tries}", sent.why), ..sent };
            }
            thread::sleep(pause);
            pause = pause.saturating_mul(2);
        }
        Performed::failed("not tried")
    }

    fn send_once(&self, send: &HttpSend, left: Duration) -> Performed {
        let headers = send.headers.iter().map(|(name, value)| (name.clone(), SecretOrText::Text(value.clone())));
        let http = HttpRequest {
            method: send.method.clone(),
            status: vec![(200, 299)],
            headers: headers.collect(),
            authorization: send.authorization.clone(),
            data: send
                .body
                .as_ref()
                .map(|(text, kind)| Data { text: SecretOrText::Text(text.clone()), content_type: Some(kind) }),
            ..HttpRequest::get(send.url.clone())
        };
        self.ask(ProbeKind::Http(http), send.timeout.min(left))
    }
}

impl fmt::Debug for RealPerformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealPerformer").finish_non_exhaustive()
    }
}

impl Performer for RealPerformer {
    fn perform(&self, action: &Action, within: Duration) -> Performed {
        match action {
            Action::Service { verb, unit } => self.prober.act_on_unit(*verb, unit, within),
            Action::HttpSend(send) => self.send(send, within),
            Action::Webhook { name, data } => self.webhook(name, data, within),
            Action::Alert { text, level } => self.alert(text, *level, within),
            Action::Run { argv, timeout } => self.run(argv.clone(), *timeout, within),
            Action::Conntrackd(commands) => self.conntrackd(commands, within),
            Action::Route { change, route } => came(change_route(*change, route)),
            Action::Address { change, network, dev } => self.address(*change, *network, dev),
            Action::Announce { address, dev } => came(announce_address(*address, dev)),
            Action::Sysctl { key, value } => came(sysctl(key, value)),
            Action::FileWrite { path, content } => came(write_whole(Path::new(DIRECTORY), path, content)),
            Action::Signal { process, signal } => match signal_processes(process, *signal) {
                Ok(0) => Performed::failed(format!("no process is called {process}")),
                Ok(count) => Performed::done(format!("sent to {count}")),
                Err(error) => Performed::failed(said(&error)),
            },
        }
    }
}

fn came(result: io::Result<()>) -> Performed {
    match result {
        Ok(()) => Performed::done("done"),
        Err(error) => Performed::failed(said(&error)),
    }
}

fn said(error: &io::Error) -> String {
    let lacks = if error.kind() == io::ErrorKind::PermissionDenied { ": this process lacks the privilege" } else { "" };
    format!("{error}{lacks}")
}

/// A dot in a name of an interface is written as a slash, as sysctl(8) has it.
fn sysctl(key: &str, value: &str) -> io::Result<()> {
    let path = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    fs::write(Path::new("/proc/sys").join(path), value)
}

/// Beside its name and then in its place, so that whoever reads it reads all of it.
fn write_whole(directory: &Path, path: &str, content: &str) -> io::Result<()> {
    let below = path.strip_prefix("/run/ha/files/").unwrap_or(path);
    let path = directory.join(below);
    let parent = path.parent().unwrap_or(directory);
    fs::create_dir_all(parent)?;
    // A link would lead out of the directory.
    if !parent.canonicalize()?.starts_with(directory.canonicalize()?) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it leads out of the directory"));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = parent.join(name);
    let mut file = fs::File::create(&beside)?;
    file.write_all(content.as_bytes())?;
    drop(file);
    fs::rename(&beside, &path)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read},
        net::TcpListener,
        os::unix::fs::{PermissionsExt, symlink},
        sync::mpsc,
    };

    use super::*;
    use crate::config;

    /// A server that answers with these statuses, one after the other, and tells what it was sent.
    fn server(statuses: &[u16]) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        let statuses = statuses.to_vec();
        thread::spawn(move || {
            for status in statuses {
                let (connection, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(connection);
                let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                sender.send(format!("{head}\n{}", String::from_utf8(body).unwrap())).unwrap();
                write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        (url, received)
    }

    /// What a performer does with this action, where the configuration has these webhooks; and the alarms it raised.
    fn performed(webhooks: &str, action: Action) -> (Performed, Vec<Alarm>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let text = format!(
            "node = \"K1\"\n{webhooks}\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
             addresses = [\"192.168.0.60/24\"]\n"
        );
        let config = config::parse(&text, Path::new("/etc/ha/ha.toml"), &config::Facts::default()).unwrap().config;
        let (sender, alarms) = mpsc::channel();
        let prober = RealProber::new(runtime.handle().clone());
        prober.permit(&config.permits);
        let performer = RealPerformer::new(prober, &config, move |alarm| sender.send(alarm).is_ok());
        let performed = performer.perform(&action, Duration::from_secs(10));
        drop(performer);
        (performed, alarms.try_iter().collect())
    }

    fn send(url: &str, attempts: u32) -> Action {
        Action::HttpSend(HttpSend {
            url: url.to_owned(),
            method: "POST".to_owned(),
            headers: vec![("x-node".to_owned(), "K1".to_owned())],
            body: Some(("{\"server\":4711}".to_owned(), "application/json")),
            authorization: Some(crate::policy::probe::Authorization::Bearer(SecretOrText::Text("t0ken".to_owned()))),
            timeout: Duration::from_secs(2),
            attempts,
            backoff: Duration::from_millis(10),
        })
    }

    #[test]
    fn a_request_is_repeated_until_it_succeeds_and_no_longer() {
        let (url, received) = server(&[503, 503, 204]);
        assert_eq!(performed("", send(&url, 5)).0, Performed::done("204 (3 attempts)"));
        let first = received.recv().unwrap();
        for part in [
            "POST /hook HTTP/1.1",
            "authorization: Bearer t0ken",
            "x-node: K1",
            "application/json",
            "{\"server\":4711}",
        ] {
            assert!(first.to_lowercase().contains(&part.to_lowercase()), "{part}: {first}");
        }
        let (url, _received) = server(&[500, 500]);
        assert_eq!(performed("", send(&url, 2)).0, Performed::failed("status 500 (2 attempts)"));
        let (url, _received) = server(&[404]);
        assert_eq!(performed("", send(&url, 1)).0, Performed::failed("status 404"));
    }

    #[test]
    fn only_a_program_that_is_listed_is_run() {
        let run = |program: &str| {
            let argv = [program, "-c", "exit 3"].map(ToOwned::to_owned).into();
            Action::Run { argv, timeout: Duration::from_secs(5) }
        };
        let listed = performed("allow_exec = [\"/bin/sh\"]", run("/bin/sh")).0;
        assert!(!listed.ok && listed.why.contains('3'), "{listed:?}");
        let unlisted = performed("", run("/bin/sh")).0;
        assert_eq!(unlisted, Performed::refused("not started: allow_exec in ha.toml does not list /bin/sh"));
        let conntrackd = performed("", Action::Conntrackd(vec![ConntrackdCommand::Commit])).0;
        assert_eq!(conntrackd, Performed::refused("allow_exec in ha.toml does not list conntrackd"));
    }

    #[test]
    fn a_webhook_is_named_in_the_configuration() {
        let (url, received) = server(&[200]);
        let webhooks = format!("[webhook.chat]\nurl = \"{url}\"\n");
        let hook = |name: &str| Action::Webhook { name: name.to_owned(), data: "{\"text\":\"hello\"}".to_owned() };
        assert!(performed(&webhooks, hook("chat")).0.ok);
        assert!(received.recv().unwrap().ends_with("{\"text\":\"hello\"}"));
        let unknown = performed(&webhooks, hook("pager")).0;
        assert_eq!(unknown, Performed::refused("there is no [webhook.pager] in the configuration"));
    }

    #[test]
    fn the_address_of_a_webhook_is_not_told() {
        let secrets = tempfile::tempdir().unwrap();
        let file = secrets.path().join("chat");
        fs::write(&file, "chat.example.org/t0ken").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let webhooks = format!(
            "secrets_dir = \"{}\"\n[webhook.chat]\nsecret = \"chat\"\n",
            secrets.path().canonicalize().unwrap().display()
        );
        let hook = Action::Webhook { name: "chat".to_owned(), data: "{}".to_owned() };
        let why = performed(&webhooks, hook).0.why;
        assert!(why.contains("*** is not an absolute") && !why.contains("t0ken"), "{why}");
    }

    #[test]
    fn virtual_addresses_are_not_for_policies() {
        for change in [AddressChange::Add, AddressChange::Del] {
            let network = Network { address: "192.168.0.60".parse().unwrap(), prefix: 32 };
            let why = performed("", Action::Address { change, network, dev: "lo".to_owned() }).0.why;
            assert!(why.starts_with("192.168.0.60 is a virtual address of this node"), "{why}");
        }
    }

    #[test]
    fn an_alert_goes_to_people_and_to_the_webhooks_that_want_it() {
        let (url, received) = server(&[200]);
        let webhooks = format!(
            "[webhook.chat]\nurl = \"{url}\"\nalert = true\n[webhook.quiet]\nurl = \"http://127.0.0.1:9/\"\n\
             [webhook.none]\nsecret = \"there_is_none\"\nalert = true\n"
        );
        let alert = Action::Alert { text: "look \"here\"".to_owned(), level: AlertLevel::Critical };
        let (performed, alarms) = performed(&webhooks, alert);
        assert!(received.recv().unwrap().ends_with("{\"text\":\"look \\\"here\\\"\",\"level\":\"critical\"}"));
        assert_eq!(alarms, [Alarm { level: AlertLevel::Critical, text: "look \"here\"".to_owned() }]);
        assert!(!performed.ok && performed.why.starts_with("webhook none: secret there_is_none"), "{performed:?}");
    }

    #[test]
    fn a_file_is_written_whole_and_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        write_whole(directory.path(), "/run/ha/files/roles/web", "master").unwrap();
        write_whole(directory.path(), "/run/ha/files/roles/web", "backup").unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("roles/web")).unwrap(), "backup");
        assert_eq!(fs::read_dir(directory.path().join("roles")).unwrap().count(), 1);
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), directory.path().join("out")).unwrap();
        assert!(write_whole(directory.path(), "/run/ha/files/out/web", "master").is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
