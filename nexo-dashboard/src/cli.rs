//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  nexo-dashboard                                   start on http://localhost:8000, data in ./data
  nexo-dashboard --port 9000 --data-dir /var/nexo  start elsewhere
  nexo-dashboard seed                              make a user and an app to try things with
  nexo-dashboard user create ann@example.com       make a user; the password is asked for
  nexo-dashboard doctor                            look for problems in the set-up
  nexo-dashboard --print-config                    show every setting and where it comes from

Settings are environment variables, such as DATABASE_URL, PORT or MAIL_SERVER. They are also
read from a file .env here, and from the file that --config names. Flags come before the
environment, that before .env, that before the file.";

/// Nexo: conversations between customers and agents, behind one API.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// A TOML file with settings, such as `PORT = 9000`
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where to keep secrets, mails and the default database (./data)
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// Which address to listen on (127.0.0.1)
    #[arg(long, global = true)]
    host: Option<String>,
    /// Which port to listen on, 0 for any (8000)
    #[arg(long, global = true)]
    port: Option<String>,
    /// Which web framework serves: axum, or actix if it was built in (axum)
    ///
    /// Answers and limits are the same.
    #[arg(long, value_name = "FRAMEWORK", global = true)]
    http: Option<String>,
    /// CRITICAL, ERROR, WARNING, INFO or DEBUG (INFO)
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// Show every setting and where it comes from, without secrets, and do nothing else
    #[arg(long, global = true)]
    pub(crate) print_config: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Default, Subcommand)]
pub(crate) enum Command {
    /// Start the server (this is what happens without a command)
    #[default]
    Serve,
    /// Bring the database's tables to this version
    Migrate,
    /// Write the OpenAPI document, as generators of clients want it
    ///
    /// To the file that OPENAPI_OUTPUT_FILE names, else to standard output.
    Openapi {
        /// As the server serves it, with the tags in the operation ids
        #[arg(long)]
        served: bool,
    },
    /// Make users to try things with, each with an app
    ///
    /// Makes tester@nexo.xyz, and {persona}@nexo.xyz for each further persona. What is there
    /// already is left alone.
    #[command(after_help = "Example:\n  nexo-dashboard seed alice bob")]
    Seed {
        /// Further personas
        #[arg(value_name = "PERSONA")]
        personas: Vec<String>,
    },
    /// Make and change users
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Look for problems in the set-up; exit code 1 if there are any
    Doctor,
}

/// What to do with a user.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user whose address counts as verified
    #[command(after_help = "Examples:\n  nexo-dashboard user create ann@example.com\n  \
        nexo-dashboard user create ann@example.com --superuser --password-stdin < password.txt")]
    Create(CreateUser),
    /// Let a user administer other users
    Promote {
        /// Their address
        email: String,
    },
    /// Set a user's password; every token of theirs ends
    ResetPassword(ResetPassword),
}

/// Who to make.
#[derive(Args, Debug)]
pub(crate) struct CreateUser {
    /// Their address
    pub(crate) email: String,
    /// Let them administer other users
    #[arg(long)]
    pub(crate) superuser: bool,
    /// The language they read: en, es or pt
    #[arg(long, default_value = "en")]
    pub(crate) locale: String,
    /// Read the password from standard input, without asking
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// Whose password to set.
#[derive(Args, Debug)]
pub(crate) struct ResetPassword {
    /// Their address
    pub(crate) email: String,
    /// Read the password from standard input, without asking
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

impl Cli {
    /// What the flags say, by the names of the settings.
    pub(crate) fn flags(&self) -> Vec<(&'static str, String)> {
        let flags = [
            ("DATA_DIR", &self.data_dir),
            ("HOST", &self.host),
            ("PORT", &self.port),
            ("HTTP_FRAMEWORK", &self.http),
            ("LOG_LEVEL", &self.log_level),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
