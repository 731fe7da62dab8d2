//! Secrets, read from where only root and this process can have put them, at the moment they are used.
//!
//! A credential of the service manager (systemd.exec(5), `LoadCredential=`), else a file of `secrets_dir`. What others could
//! have written, or can read, is refused: it is either not what it says, or no secret any more.

use std::{
    env, fmt,
    fs::{Metadata, OpenOptions},
    io::{self, ErrorKind as Io, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use nix::unistd::User;
use rustix::process::geteuid;

use super::{errand, trust::Trust};
use crate::policy::{Secret, SecretOrText};

/// No secret is longer.
const LENGTH_MAX: u64 = 64 * 1024;
/// Who has nothing to look for in a file of `secrets_dir`: everybody but its owner.
const OTHERS: u32 = 0o077;
/// systemd gives a credential to the service's user by an access list, which shows in the place of the group's right to read.
const OTHERS_OF_A_CREDENTIAL: u32 = 0o037;

/// Where secrets are.
#[derive(Clone, Debug)]
pub struct Secrets {
    directory: PathBuf,
    credentials: Option<PathBuf>,
    trust: Trust,
    /// Until when all of them are waited for; else each for a second.
    until: Option<Instant>,
}

/// A secret that has been read, for the moment in which it is used. Never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed(String);

/// Why a secret cannot be read: trouble of this machine, which says nothing of what was to be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    why: String,
    is_late: bool,
}

impl Unreadable {
    /// Nothing is known to be wrong with it: it does not come.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.is_late
    }

    fn about(self, what: &str) -> Self {
        Self { why: format!("{what} cannot be read: {}", self.why), ..self }
    }
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        Self { why, is_late: false }
    }
}

impl Revealed {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unreadable {}

impl Secrets {
    /// Those of `directory`, after the credentials with which this process was started.
    #[must_use]
    pub fn of(directory: PathBuf) -> Self {
        let credentials = env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { directory, credentials, trust: Trust::of_this_process(), until: None }
    }

    /// The same, read for a daemon that is going to work as this user.
    #[must_use]
    pub fn for_daemon(self, user: Option<&str>) -> Self {
        Self { trust: Trust::of_daemon(user), ..self }
    }

    /// The same, which are waited for until then, all of them together.
    #[must_use]
    pub fn until(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    /// A text as it stands, or the secret. Blocks for as long as its file system does, within limits: for a second, or
    /// [until](Self::until) it is said.
    ///
    /// # Errors
    ///
    /// The secret cannot be read; "secret db cannot be read: …".
    pub fn reveal(&self, text: &SecretOrText) -> Result<Revealed, Unreadable> {
        match text {
            SecretOrText::Text(text) => Ok(Revealed(text.clone())),
            SecretOrText::Secret(secret) => self.read(secret),
        }
    }

    /// The secret of that name, without the line break at its end. Blocks for as long as its file system does, within limits: for a second, or
    /// [until](Self::until) it is said.
    ///
    /// # Errors
    ///
    /// It cannot be read; "secret db cannot be read: …".
    pub fn read(&self, secret: &Secret) -> Result<Revealed, Unreadable> {
        let name = secret.name();
        self.find(name).map(Revealed).map_err(|why| why.about(&format!("secret {name}")))
    }

    /// What a file says that is named by its path, without the line break at its end. It is judged as one of `secrets_dir`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no secret; "FILE cannot be read: …".
    pub fn read_file(&self, path: &Path) -> Result<Revealed, Unreadable> {
        let found = self.look(path, OTHERS).and_then(|text| text.ok_or_else(|| "it is not there".to_owned().into()));
        found.map(Revealed).map_err(|why| why.about(&path.display().to_string()))
    }

    fn find(&self, name: &str) -> Result<String, Unreadable> {
        let credential = self.credentials.as_ref().map(|credentials| credentials.join(name));
        if let Some(path) = &credential
            && let Some(text) = self.look(path, OTHERS_OF_A_CREDENTIAL)?
        {
            return Ok(text);
        }
        let path = self.directory.join(name);
        let missing = || match credential {
            None => format!("there is no {}", path.display()),
            Some(credential) => format!("there is neither {} nor {}", credential.display(), path.display()),
        };
        self.look(&path, OTHERS)?.ok_or_else(|| missing().into())
    }

    /// What the file says; `None` if there is none. Waits for it no longer than an errand may take.
    fn look(&self, path: &Path, others: u32) -> Result<Option<String>, Unreadable> {
        let (secrets, file) = (self.clone(), path.to_owned());
        let time = self.until.map_or(errand::TIME, |until| until.saturating_duration_since(Instant::now()));
        match errand::within(time, path, move || secrets.look_at(&file, others)) {
            Ok(seen) => seen.map_err(Unreadable::from),
            Err(why) => Err(Unreadable { why, is_late: true }),
        }
    }

    /// What is judged is what was opened, whatever bears the name meanwhile.
    fn look_at(&self, path: &Path, others: u32) -> Result<Option<String>, String> {
        let said = |error: io::Error| format!("{}: {error}", path.display());
        // Does not wait for a writer, should it be a pipe.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => return Ok(None),
            Err(error) if error.kind() == Io::PermissionDenied => return Err(not_ours(path, &error)),
            opened => opened.map_err(said)?,
        };
        let metadata = file.metadata().map_err(said)?;
        let objection = self.trust.objection(path, &metadata).or_else(|| exposed(path, &metadata, others));
        if let Some(objection) = objection.or_else(|| self.trust.objection_on_the_way(path)) {
            return Err(objection);
        }
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(said)?;
        text(bytes).map(Some).map_err(|why| format!("{} {why}", path.display()))
    }
}

/// What opens it to this process and to nobody else: its owner.
fn not_ours(path: &Path, error: &io::Error) -> String {
    let uid = geteuid().as_raw();
    let name = User::from_uid(uid.into()).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let path = path.display();
    format!(
        "{path}: {error}; it must belong to {name}, as whom this process runs: chown {name}: it and the directory, and leave it 0600"
    )
}

/// Not a plain file, or open to others.
fn exposed(path: &Path, metadata: &Metadata, others: u32) -> Option<String> {
    if !metadata.is_file() {
        return Some(format!("{} is not a file", path.display()));
    }
    let mode = metadata.mode() & 0o7777;
    (mode & others != 0).then(|| format!("{} is open to others (mode {mode:04o}); chmod 0600 it", path.display()))
}

/// One text, without the line break that editors put at its end.
fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LENGTH_MAX) {
        return Err("is longer than 64 KiB");
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err("is empty") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    /// A secrets directory and a credentials directory, closed to others.
    struct Place {
        _directory: tempfile::TempDir,
        secrets: PathBuf,
        credentials: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let base = directory.path().canonicalize().unwrap();
            let (secrets, credentials) = (base.join("secrets"), base.join("credentials"));
            fs::create_dir(&secrets).unwrap();
            fs::create_dir(&credentials).unwrap();
            Self { _directory: directory, secrets, credentials }
        }

        fn put(&self, name: &str, content: &[u8], mode: u32) {
            put(&self.secrets.join(name), content, mode);
        }

        fn read_with(&self, credentials: Option<PathBuf>, name: &str) -> Result<String, String> {
            let secrets = Secrets { credentials, ..Secrets::of(self.secrets.clone()) };
            let read = secrets.reveal(&SecretOrText::Secret(Secret::named(name).unwrap()));
            let shown =
                |unreadable: Unreadable| unreadable.to_string().replace(&self.secrets.display().to_string(), "DIR");
            read.map(|revealed| revealed.as_str().to_owned()).map_err(shown)
        }

        fn read(&self, name: &str) -> Result<String, String> {
            self.read_with(None, name)
        }
    }

    fn put(path: &Path, content: &[u8], mode: u32) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refused(why: &str) -> Result<String, String> {
        Err(format!("secret db cannot be read: {why}"))
    }

    #[test]
    fn a_file_only_its_owner_reads_is_a_secret() {
        let place = Place::new();
        for mode in [0o600, 0o400] {
            place.put("db", b"hunter2\n", mode);
            assert_eq!(place.read("db"), Ok("hunter2".to_owned()), "{mode:o}");
            fs::remove_file(place.secrets.join("db")).unwrap();
        }
        place.put("db", b" two words\r\n", 0o600);
        assert_eq!(place.read("db"), Ok(" two words".to_owned()), "nothing but the end of the line is taken away");
    }

    #[test]
    fn one_that_others_can_read_is_refused() {
        let place = Place::new();
        for (mode, shown) in [(0o640, "0640"), (0o604, "0604"), (0o700, ""), (0o610, "0610")] {
            place.put("db", b"hunter2", mode);
            let want = match shown {
                "" => Ok("hunter2".to_owned()),
                shown => refused(&format!("DIR/db is open to others (mode {shown}); chmod 0600 it")),
            };
            assert_eq!(place.read("db"), want, "{mode:o}");
        }
        place.put("db", b"hunter2", 0o622);
        assert_eq!(place.read("db"), refused("DIR/db is writable by others (mode 0622); chmod go-w"));
    }

    #[test]
    fn of_one_that_is_closed_to_this_process_it_is_said_whose_it_must_be() {
        let name = User::from_uid(geteuid().as_raw().into()).unwrap().unwrap().name;
        let why = not_ours(Path::new("/etc/ha/secrets/db"), &io::Error::from_raw_os_error(libc::EACCES));
        let whose = format!(
            "/etc/ha/secrets/db: Permission denied (os error 13); it must belong to {name}, as whom this process runs"
        );
        assert!(why.starts_with(&whose), "{why}");
    }

    #[test]
    fn the_way_to_it_is_named_where_others_can_change_it() {
        let place = Place::new();
        place.put("db", b"hunter2", 0o600);
        fs::set_permissions(&place.secrets, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(place.read("db"), refused("DIR is writable by others (mode 0777); chmod go-w"));
    }

    #[test]
    fn a_link_is_judged_by_what_it_leads_to() {
        let place = Place::new();
        put(&place.credentials.join("elsewhere"), b"hunter2", 0o644);
        symlink(place.credentials.join("elsewhere"), place.secrets.join("db")).unwrap();
        assert_eq!(place.read("db"), refused("DIR/db is open to others (mode 0644); chmod 0600 it"));
    }

    #[test]
    fn what_is_missing_or_no_text_is_said() {
        let place = Place::new();
        assert_eq!(place.read("db"), refused("there is no DIR/db"));
        place.put("db", b"\n", 0o600);
        assert_eq!(place.read("db"), refused("DIR/db is empty"));
        place.put("db", &[0xff, 0xfe], 0o600);
        assert_eq!(place.read("db"), refused("DIR/db is not UTF-8 text"));
        place.put("db", &vec![b'x'; 65_537], 0o600);
        assert_eq!(place.read("db"), refused("DIR/db is longer than 64 KiB"));
        fs::remove_file(place.secrets.join("db")).unwrap();
        fs::create_dir(place.secrets.join("db")).unwrap();
        assert_eq!(place.read("db"), refused("DIR/db is not a file"));
    }

    #[test]
    fn a_credential_of_the_service_manager_comes_first() {
        let place = Place::new();
        place.put("db", b"of the file", 0o600);
        place.put("other", b"of the file", 0o600);
        // With an access list for the service's user, a credential of systemd shows as 0440.
        put(&place.credentials.join("db"), b"of the manager", 0o440);
        let read = |name| place.read_with(Some(place.credentials.clone()), name);
        assert_eq!(read("db"), Ok("of the manager".to_owned()));
        assert_eq!(read("other"), Ok("of the file".to_owned()));
        let missing = read("none").unwrap_err();
        assert!(missing.starts_with("secret none cannot be read: there is neither /"), "{missing}");
        put(&place.credentials.join("loud"), b"of the manager", 0o444);
        assert!(read("loud").unwrap_err().contains("is open to others (mode 0444)"), "no other is tried");
    }

    #[test]
    fn what_was_read_does_not_show_itself() {
        let place = Place::new();
        place.put("db", b"hunter2", 0o600);
        let secrets = Secrets { credentials: None, ..Secrets::of(place.secrets.clone()) };
        let revealed = secrets.read(&Secret::named("db").unwrap()).unwrap();
        assert_eq!((format!("{revealed:?}").as_str(), revealed.as_str()), ("***", "hunter2"));
    }
}
