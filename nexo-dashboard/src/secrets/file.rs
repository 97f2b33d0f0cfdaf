//! The file that keeps the secrets which were made here: readable for nobody else.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use nexo_core::Secret;

use crate::error::{Context, Failure, Result};

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "secrets.toml";
const LOCK_NAME: &str = ".secrets.lock";
const INTRODUCTION: &str = "\
# Made by nexo at its first start, and kept for the next ones. Whoever has this file can sign
# in as anybody and read every webhook secret. Other servers on the same database need the
# same values, here or as variables. Without ENCRYPTION_KEYS no webhook secret can be read.
";

/// The secrets in the file, while nobody else changes it.
pub(super) struct Kept {
    path: PathBuf,
    values: BTreeMap<String, Secret>,
    is_changed: bool,
    /// Two servers that start at once would each make their own otherwise.
    _lock: File,
}

impl Kept {
    pub(super) fn open(data_dir: &Path) -> Result<Self> {
        prepare_directory(data_dir)?;
        let path = data_dir.join(FILE_NAME);
        let shown = path.display().to_string();
        let lock = lock(data_dir).context(format!("{} can't be locked", data_dir.display()))?;
        let values = match fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| Failure::new(format!("{shown} is damaged")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).context(format!("{shown} can't be read")),
        };
        Ok(Self { path, values, is_changed: false, _lock: lock })
    }

    pub(super) fn get_or_make(&mut self, name: &str, make: impl FnOnce() -> Secret) -> Secret {
        if let Some(secret) = self.values.get(name) {
            return secret.clone();
        }
        let secret = make();
        self.values.insert(name.to_owned(), secret.clone());
        self.is_changed = true;
        secret
    }

    /// Writes the file if something was made. It is there as a whole or not at all.
    pub(super) fn save(self) -> Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        let new = self.path.with_extension("toml.new");
        let written = write_private(&new, &self.text());
        let shown = self.path.display();
        written
            .and_then(|()| fs::rename(&new, &self.path))
            .context(format!("{shown} can't be written"))
    }

    fn text(&self) -> String {
        let lines = self.values.iter().map(|(name, secret)| {
            let value = toml::Value::String(secret.expose().to_owned());
            format!("{name} = {value}\n")
        });
        std::iter::once(INTRODUCTION.to_owned()).chain(lines).collect()
    }
}

/// Makes the data directory if there is none: its files are nobody else's business.
pub(crate) fn prepare_directory(data_dir: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let shown = data_dir.display();
    builder.create(data_dir).context(format!("the data directory {shown} can't be made"))
}

fn lock(data_dir: &Path) -> io::Result<File> {
    let file = private().create(true).truncate(false).open(data_dir.join(LOCK_NAME))?;
    file.lock()?;
    Ok(file)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private().create(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())?;
    // A server that signs with secrets which a power cut takes away signs everybody out.
    file.sync_all()
}

/// How a file is opened that is readable for nobody else, once it is made.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn parse(text: &str) -> Option<BTreeMap<String, Secret>> {
    let table: toml::Table = text.parse().ok()?;
    table.into_iter().map(|(name, value)| Some((name, Secret::from(value.as_str()?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(directory: &Path) -> String {
        let mut kept = Kept::open(directory).unwrap();
        let secret = kept.get_or_make("A", || rand::random::<u64>().to_string().as_str().into());
        kept.save().unwrap();
        secret.expose().to_owned()
    }

    #[test]
    fn what_was_made_once_stays() {
        let directory = tempfile::tempdir().unwrap();

        assert_eq!(value(directory.path()), value(directory.path()));
    }

    #[test]
    fn a_damaged_file_is_told_without_its_text() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "A = canary").unwrap();

        let refused = Kept::open(directory.path()).err().unwrap().to_string();

        assert!(refused.contains("damaged") && !refused.contains("canary"), "{refused}");
    }
}
