//! `ha.toml`.

use super::comment;
use crate::import::outline::{Entry, Outline, key, list, quoted};

/// The whole file; `from`: what it was made of.
pub(in crate::import) fn configuration(outline: &Outline, from: &str) -> String {
    let mut text = format!("# Written by `ha import` from {from}.\n\n");
    for line in &outline.comments {
        text += &(comment(line) + "\n");
    }
    entries(&outline.root, &mut text);
    if !outline.allow_exec.is_empty() {
        text += &format!("allow_exec = {}\n", list(&outline.allow_exec));
    }
    if !outline.secrets.is_empty() {
        text += &format!("secrets_dir = {}\n", quoted("secrets"));
    }
    if !outline.events.is_empty() {
        text += "\n[events]\n";
        entries(&outline.events, &mut text);
    }
    if !outline.mail.is_empty() {
        text += "\n[mail]\n";
        entries(&outline.mail, &mut text);
    }
    for section in &outline.links {
        text.push('\n');
        for line in &section.comments {
            text += &(comment(line) + "\n");
        }
        text += &format!("[interface.{}]\n", key(&section.name));
        entries(&section.entries, &mut text);
    }
    for section in &outline.instances {
        text.push('\n');
        for line in &section.comments {
            text += &(comment(line) + "\n");
        }
        text += &format!("[instance.{}]\n", section.name);
        entries(&section.entries, &mut text);
        if !section.policies.is_empty() {
            text += &format!("policies = {}\n", list(&section.policies));
        }
    }
    for group in &outline.groups {
        text.push('\n');
        for line in &group.comments {
            text += &(comment(line) + "\n");
        }
        text += &format!("[group.{}]\ninstances = {}\n", group.name, group.members);
        entries(&group.entries, &mut text);
    }
    if !outline.ending.is_empty() {
        text.push('\n');
    }
    for line in &outline.ending {
        text += &(comment(line) + "\n");
    }
    text
}

fn entries(entries: &[Entry], text: &mut String) {
    for entry in entries {
        for line in &entry.comments {
            *text += &(comment(line) + "\n");
        }
        let trailing = entry.trailing.as_deref().map(|trailing| format!("  {}", comment(trailing)));
        *text += &format!("{} = {}{}\n", entry.key, entry.value, trailing.unwrap_or_default());
    }
}
