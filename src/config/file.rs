//! From a file to a configuration, or to everything that is wrong with it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::{
    Config, Netns,
    error::{Findings, Problem, Problems, Source},
    raw, resolve, syntax,
};
use crate::words::InterfaceName;

/// No configuration is longer, in bytes; something else was named by mistake.
const LENGTH_MAX: u64 = 1 << 20;

/// A usable configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it means.
    pub config: Config,
    /// What an operator should know about it; none is an error.
    pub warnings: Vec<Problem>,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
}

/// What the machine knows that makes a message better. Nothing needs to be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Which network this is; `None`: the daemon's own. What lies in another one is not known.
    pub network: Option<Netns>,
    /// The addresses of each interface with their prefixes, without those that `ha` itself put there; an interface that
    /// is not here is not known.
    pub interfaces: BTreeMap<InterfaceName, Vec<IpNet>>,
}

/// Of a network that nobody has looked at.
static NOTHING: Facts = Facts { network: None, interfaces: BTreeMap::new() };

impl Facts {
    /// What is known where an instance works.
    #[must_use]
    pub(super) fn of_network(&self, network: Option<&Netns>) -> &Self {
        if self.network.as_ref() == network { self } else { &NOTHING }
    }

    /// The addresses of an interface, if it is known.
    #[must_use]
    pub fn networks(&self, interface: &InterfaceName) -> Option<&[IpNet]> {
        self.interfaces.get(interface).map(Vec::as_slice)
    }
}

/// Reads a configuration file, knowing nothing of the machine.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    load_with(path, &Facts::default())
}

/// Reads a configuration file, or what somebody passes as one.
pub fn load_with(path: &Path, facts: &Facts) -> Result<Loaded, Problems> {
    parse(&text_of(path, |path| File::open(path))?, path, facts)
}

/// Reads the text of a configuration; relative paths in it are relative to where `path` lies.
pub fn parse(text: &str, path: &Path, facts: &Facts) -> Result<Loaded, Problems> {
    let mut out = Findings::new(Source { path: path.to_owned(), text: text.to_owned() });
    let (document, errors) = DeTable::parse_recoverable(text);
    let raw = raw::read(document.get_ref(), &mut out);
    let config = resolve::resolve(&raw, &base(path), facts, &mut out);
    syntax::report(text, &errors, &mut out);
    let warnings = out.conclude()?;
    let Some(config) = config else {
        let what = "the configuration is incomplete in a way that was not found".to_owned();
        return Err(Problems::unreadable(path.to_owned(), what, "please report this file as a bug of ha"));
    };
    let sha256 = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Loaded { config, warnings, sha256 })
}

/// The text of a configuration file that `open` opens.
pub fn text_of(path: &Path, open: impl FnOnce(&Path) -> io::Result<File>) -> Result<String, Problems> {
    let fail =
        |what: String, todo: &str| Problems::unreadable(path.to_owned(), format!("{} {what}", path.display()), todo);
    let mut bytes = Vec::new();
    open(path)
        .and_then(|file| file.take(LENGTH_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(format!("cannot be read: {error}"), "check the path and who may read it"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LENGTH_MAX) {
        return Err(fail(format!("is longer than {LENGTH_MAX} bytes"), "name a configuration file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        fail(format!("is not UTF-8 in line {line}"), "save the file as UTF-8 text")
    })
}

/// The directory that relative paths start from.
fn base(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or_else(|| Path::new("/")).to_owned()
}
