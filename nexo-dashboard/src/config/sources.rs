//! Where settings come from: flags, the environment, a `.env` file, a TOML file.

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use super::dotenv;

/// What was said about settings, in the order in which it counts.
#[derive(Default)]
pub(crate) struct Sources {
    layers: Vec<Layer>,
}

struct Layer {
    origin: Origin,
    values: BTreeMap<String, String>,
}

/// Where a setting was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of the command.
    Flag,
    /// The environment.
    Environment,
    /// The file `.env` in the current directory.
    DotEnv,
    /// The file that `--config` names.
    File,
    /// Nowhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

impl Sources {
    /// Everything there is: flags come before the environment, that before `.env` in the
    /// current directory, and that before the TOML file.
    ///
    /// # Errors
    ///
    /// What is wrong with a file, for the user.
    pub(crate) fn collect(
        flags: Vec<(&'static str, String)>,
        file: Option<&Path>,
    ) -> Result<Self, String> {
        let flags = flags.into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut sources = Self::default()
            .with(Origin::Flag, flags)
            .with(Origin::Environment, environment())
            .with(Origin::DotEnv, dotenv_file(Path::new(".env"))?);
        if let Some(path) = file {
            sources = sources.with(Origin::File, toml_file(path)?);
        }
        Ok(sources)
    }

    /// The same with one more source, which counts less than those before.
    pub(crate) fn with(
        mut self,
        origin: Origin,
        values: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.to_uppercase(), value));
        self.layers.push(Layer { origin, values: values.collect() });
        self
    }

    /// What the first source says that gives `name` a value; an empty one is none.
    pub(super) fn find<'a>(&'a self, name: &'a str) -> Option<(&'a str, Origin)> {
        self.all(name).find(|(value, _)| !value.is_empty())
    }

    /// What the first source that mentions `name` says; empty is a value as well here.
    pub(super) fn find_or_empty<'a>(&'a self, name: &'a str) -> Option<(&'a str, Origin)> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, Origin)> {
        self.layers
            .iter()
            .filter_map(move |layer| Some((layer.values.get(name)?.trim(), layer.origin)))
    }
}

/// Variables that are not text can't be ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn dotenv_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{} can't be read: {error}", path.display())),
    };
    dotenv::parse(&text).map_err(|line| format!("{}:{line}: not NAME=value", path.display()))
}

fn toml_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| format!("{shown} can't be read: {error}"))?;
    // The parser's own message quotes the line, and a secret may be on it.
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        format!("{shown}:{line}: not valid TOML")
    })?;
    let entries = table.into_iter().map(|(name, value)| match plain(&value) {
        Some(text) => Ok((name, text)),
        None => {
            Err(format!("{shown}: {name} has to be text, a number, a boolean or a list of text"))
        }
    });
    entries.collect()
}

/// The value as it would be written in the environment.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(plain).collect();
            serde_json::to_string(&items?).ok()
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
