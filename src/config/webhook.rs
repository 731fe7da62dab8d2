//! `[webhook.NAME]`: addresses that policies send data to.

use super::{
    error::{Findings, Span},
    instance::check_name,
    table::{Table, Written},
};
use crate::policy::Secret;

/// An address that policies send data to by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The name in the file, `[webhook.NAME]`.
    pub name: String,
    /// Where to.
    pub url: WebhookUrl,
    /// `alert()` sends there as well.
    pub alert: bool,
}

/// Where a webhook is. With most services whoever knows the address may send, so it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUrl {
    /// As it stands in the file.
    Plain(String),
    /// In a secret.
    Secret(Secret),
}

/// `[webhook.NAME]` as written.
#[derive(Debug)]
pub(super) struct RawWebhook {
    pub(super) name: toml::Spanned<String>,
    pub(super) header: Span,
    pub(super) url: Written<String>,
    pub(super) secret: Written<String>,
    pub(super) alert: Written<bool>,
}

impl RawWebhook {
    pub(super) fn read(name: toml::Spanned<String>, table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            name,
            header: table.header(),
            url: table.text("url", out),
            secret: table.text("secret", out),
            alert: table.flag("alert", out),
        }
    }
}

/// Reads one; `None` if it leads nowhere.
pub(super) fn resolve(raw: &RawWebhook, out: &mut Findings) -> Option<Webhook> {
    let name = raw.name.get_ref();
    check_name("a webhook", name, raw.name.span(), out);
    let url = match (raw.url.given(), raw.secret.given()) {
        (Some((url, span)), None) => {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                let todo = "write url = \"https://chat.example.org/hooks/…\"";
                out.error(span, format!("\"{url}\" is no address that can be sent to"), todo);
            }
            WebhookUrl::Plain(url.clone())
        }
        (None, Some((secret, span))) => match Secret::named(secret) {
            Ok(secret) => WebhookUrl::Secret(secret),
            Err(why) => {
                out.error(span, why, "write secret = \"chat_url\", and the address into that file of secrets_dir");
                return None;
            }
        },
        (Some((_, span)), Some((_, other))) => {
            out.error(span, format!("[webhook.{name}] has two addresses"), "remove url or secret");
            out.relate(other, "the other one");
            return None;
        }
        (None, None) => {
            if raw.url.is_absent() && raw.secret.is_absent() {
                let todo =
                    "write url = \"https://…\", or secret = \"chat_url\" with the address in that file of secrets_dir";
                out.missing(raw.header.clone(), format!("[webhook.{name}] has no address"), todo);
            }
            return None;
        }
    };
    Some(Webhook { name: name.clone(), url, alert: raw.alert.given().is_some_and(|(alert, _)| *alert) })
}
