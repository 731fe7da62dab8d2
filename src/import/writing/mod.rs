//! From the outline to texts: the configuration, a policy for each check, and what each line came to.

mod configuration;
mod explanation;
mod policy;

pub(super) use configuration::configuration;
pub(super) use explanation::explain;
pub(super) use policy::policy;

/// A comment of keepalived as one of TOML.
pub(super) fn comment(text: &str) -> String {
    let bare = text.trim_start_matches(['#', '!']).trim_end();
    let bare: String = bare.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if bare.is_empty() || bare.starts_with(' ') {
        format!("#{bare}").trim_end().to_owned()
    } else {
        format!("# {bare}")
    }
}
