//! What the server says when it is ready: where it is, where its data is, what to try.

use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
};

use crate::{config::Config, ui};

/// Greets whoever started the server.
pub(crate) fn print(config: &Config, own: SocketAddr, out: &mut impl Write) -> io::Result<()> {
    let url = config.backend_url(own.port());
    let data = config.data_dir.display();
    let database = &config.database.target;
    writeln!(out, "Nexo {} listens on http://{own}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out)?;
    if ui::is_built() {
        writeln!(out, "  Dashboard  {url}/")?;
    }
    if !config.api.openapi_path.is_empty() {
        writeln!(out, "  API        {url}/docs")?;
    }
    writeln!(out, "  Database   {database}")?;
    writeln!(out, "  Data       {data}")?;
    match &config.mail.smtp {
        Some(smtp) => writeln!(out, "  Mail       by {}:{}", smtp.server, smtp.port)?,
        None => writeln!(out, "  Mail       as files in {}", config.mail_directory().display())?,
    }
    writeln!(out)?;
    writeln!(out, "Three things to try:")?;
    let command = command();
    if config.production {
        writeln!(out, "  - {command} user create EMAIL: makes a user; the password is asked for")?;
    } else {
        writeln!(out, "  - {command} seed: makes a user and an app, and says how to sign in")?;
    }
    let path = ui::sign_in_path();
    writeln!(out, "  - {url}{path} in a browser: sign in, and try what the app can do")?;
    writeln!(out, "  - {command} doctor: looks for problems in the set-up")?;
    out.flush()
}

/// How this program was called: it need not be where a shell looks for programs.
fn command() -> String {
    let called = env::args_os().next().filter(|called| !called.is_empty());
    let called = called.map(|called| called.to_string_lossy().into_owned());
    called.unwrap_or_else(|| "nexo-dashboard".into())
}
