//! Reads settings one by one, and notes what is wrong with each.

use std::fmt::Display;

use nexo_core::Secret;
use url::Url;

use super::sources::{Origin, Sources};

/// Reads settings from the sources.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    /// What is wrong, each naming its variable and what is allowed.
    pub(super) problems: Vec<String>,
    /// Everything that was read, in order, without secrets.
    pub(super) shown: Vec<Shown>,
}

/// A setting as it may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self { sources, problems: Vec::new(), shown: Vec::new() }
    }

    /// Text, if it is set and not empty.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<String> {
        let (value, origin) = self.find(name);
        self.show(name, value.clone().unwrap_or_default(), origin);
        value
    }

    /// Text that is never shown.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let (value, origin) = self.find(name);
        let shown = if value.is_some() { "***" } else { "" };
        self.show(name, shown.to_owned(), origin);
        value.map(Secret::new)
    }

    /// Text, or the default.
    pub(super) fn text(&mut self, name: &'static str, default: &str) -> String {
        let (value, origin) = self.find(name);
        let value = value.unwrap_or_else(|| default.to_owned());
        self.show(name, value.clone(), origin);
        value
    }

    /// Text that may be set to nothing on purpose.
    pub(super) fn text_or_empty(&mut self, name: &'static str, default: &str) -> String {
        let (value, origin) =
            self.sources.find_or_empty(name).unwrap_or((default, Origin::Default));
        self.show(name, value.to_owned(), origin);
        value.to_owned()
    }

    /// Something with a rule: `allowed` says which.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.optional(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.problems.push(format!("{name} is `{text}`; allowed: {allowed}"));
        }
        value
    }

    /// A secret with a rule; a wrong one is not shown either.
    pub(super) fn parsed_secret<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let secret = self.secret(name)?;
        let value = parse(secret.expose());
        if value.is_none() {
            self.problems.push(format!("{name} can't be used; allowed: {allowed}"));
        }
        value
    }

    /// A switch.
    pub(super) fn switch(&mut self, name: &'static str, default: bool) -> bool {
        let parse = |text: &str| match text.to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        };
        let value = self.parsed(name, "on, off", parse);
        let default_shown = if default { "on" } else { "off" };
        self.show_default(name, default_shown);
        value.unwrap_or(default)
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, name: &'static str, default: T, min: T, max: T) -> T
    where
        T: Copy + Display + PartialOrd + std::str::FromStr,
    {
        let parse = |text: &str| text.parse().ok().filter(|value| (min..=max).contains(value));
        let value = self.parsed(name, &format!("a whole number from {min} to {max}"), parse);
        self.show_default(name, default);
        value.unwrap_or(default)
    }

    /// One of several words, in any case; the first is the default.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> T {
        self.choice_with(name, choices, "")
    }

    /// One of several words, and a note for those who ask for another.
    pub(super) fn choice_with<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
        note: &str,
    ) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let parse = |text: &str| {
            let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
            found.map(|(_, value)| *value)
        };
        let value = self.parsed(name, &(words.join(", ") + note), parse);
        self.show_default(name, words[0]);
        value.unwrap_or(choices[0].1)
    }

    /// An address of a web server.
    pub(super) fn url(&mut self, name: &'static str) -> Option<Url> {
        let parse = |text: &str| {
            let url = Url::parse(text).ok()?;
            (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
        };
        self.parsed(name, "an http or https address such as https://nexo.example.com", parse)
    }

    /// A list: written with commas, or as a JSON array.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let list = |text: &str| items(text)?.iter().map(|item| parse(item)).collect();
        self.parsed(name, allowed, list).unwrap_or_default()
    }

    /// What is shown for a setting that nobody set.
    pub(super) fn show_default(&mut self, name: &'static str, default: impl Display) {
        let shown = self.shown.iter_mut().rev().find(|shown| shown.name == name);
        if let Some(shown) = shown.filter(|shown| shown.value.is_empty()) {
            shown.value = default.to_string();
        }
    }

    /// Shows another text than what was read: a part of it is secret.
    pub(super) fn show_instead(&mut self, name: &'static str, value: String) {
        if let Some(shown) = self.shown.iter_mut().rev().find(|shown| shown.name == name) {
            shown.value = value;
        }
    }

    fn find(&self, name: &str) -> (Option<String>, Origin) {
        match self.sources.find(name) {
            Some((value, origin)) => (Some(value.to_owned()), origin),
            None => (None, Origin::Default),
        }
    }

    fn show(&mut self, name: &'static str, value: String, origin: Origin) {
        self.shown.push(Shown { name, value, origin });
    }
}

fn items(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    Some(
        text.split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
    )
}
