//! `doctor`: looks for problems in the set-up, and changes nothing.

use std::{
    fs,
    io::{self, Write},
    net::TcpListener,
    process::ExitCode,
    time::SystemTime,
};

use nexo_core::{KeyRing, UserId};

use super::say;
use crate::{
    backend::Backend,
    config::{Config, Target},
    error::Result,
    mail::Carrier,
    secrets::FILE_NAME,
};

/// What a check found: something worth saying, or a problem.
type Finding = std::result::Result<String, String>;

/// Looks at everything, and tells what it found.
pub(crate) async fn doctor(config: &Config, out: &mut impl Write) -> Result<ExitCode> {
    let findings = [
        ("configuration", configuration(config)),
        ("data directory", data_directory(config)),
        ("secrets file", secrets_file(config)),
        ("clock", clock(config)),
        ("port", port(config)),
        ("database", database(config).await),
        ("mail", mail(config).await),
    ];
    for (name, finding) in &findings {
        let (mark, text) = match finding {
            Ok(text) => ("ok     ", text),
            Err(text) => ("PROBLEM", text),
        };
        say(out, &format!("{mark}  {name:<15} {text}"))?;
    }
    let problems = findings.iter().filter(|(_, finding)| finding.is_err()).count();
    say(out, &format!("\n{problems} problem(s) found"))?;
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn configuration(config: &Config) -> Finding {
    let mut problems = config.missing_for_production();
    problems.extend(config.warnings());
    match problems.is_empty() {
        true if config.production => Ok("complete for production".into()),
        true => Ok("every value can be used; production mode is off".into()),
        false => Err(problems.join("; ")),
    }
}

fn data_directory(config: &Config) -> Finding {
    let directory = &config.data_dir;
    let shown = directory.display();
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(format!("{shown} will be made at the first start"));
        }
        Err(error) => return Err(format!("{shown} can't be looked at: {error}")),
    };
    if !metadata.is_dir() {
        return Err(format!("{shown} is not a directory"));
    }
    is_private(&metadata, &format!("{shown}"), "700")?;
    let probe = directory.join(".doctor");
    let written = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe));
    written.map_err(|error| format!("{shown} can't be written to: {error}"))?;
    Ok(format!("{shown} can be written to, and is nobody else's"))
}

fn secrets_file(config: &Config) -> Finding {
    let path = config.data_dir.join(FILE_NAME);
    let shown = path.display().to_string();
    match fs::metadata(&path) {
        Ok(metadata) => {
            is_private(&metadata, &shown, "600")?;
            Ok(format!("{shown} is readable for its owner only"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => without_secrets_file(config),
        Err(error) => Err(format!("{shown} can't be looked at: {error}")),
    }
}

fn without_secrets_file(config: &Config) -> Finding {
    match &config.database.target {
        _ if config.secrets.are_complete() => Ok("there is none, since every secret is set".into()),
        Target::Sqlite(path) if path.exists() => {
            Err(format!("{FILE_NAME} is gone, and the database was used with it"))
        }
        _ => Ok("will be made at the first start".into()),
    }
}

#[cfg(unix)]
fn is_private(
    metadata: &fs::Metadata,
    shown: &str,
    wanted: &str,
) -> std::result::Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(format!("{shown} is open to others: chmod {wanted} {shown}"))
}

#[cfg(not(unix))]
fn is_private(_: &fs::Metadata, _: &str, _: &str) -> std::result::Result<(), String> {
    Ok(())
}

/// Signatures and tokens carry the time; a clock that went back makes them worthless.
fn clock(config: &Config) -> Finding {
    let newest = fs::metadata(config.data_dir.join(FILE_NAME)).and_then(|it| it.modified());
    match newest {
        Ok(made) if made > SystemTime::now() => {
            Err("it shows a time before this server's first start".into())
        }
        _ => Ok("shows a time after this server's first start".into()),
    }
}

fn port(config: &Config) -> Finding {
    let (host, port) = (&config.listen.host, config.listen.port);
    match TcpListener::bind((host.as_str(), port)) {
        Ok(_) => Ok(format!("{host}:{port} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok(format!("{host}:{port} is in use: by a running server, if one is meant to run"))
        }
        Err(error) => Err(format!("can't listen on {host}:{port}: {error}")),
    }
}

async fn database(config: &Config) -> Finding {
    let target = &config.database.target;
    if let Target::Sqlite(path) = target
        && !path.exists()
    {
        return Ok(format!("{target} will be made at the first start"));
    }
    let failed = |failure: &dyn std::fmt::Display| format!("{target}: {failure}");
    // No secret is read, so any key will do; making and keeping one would be a change.
    let opened = Backend::open(config, KeyRing::generate("doctor")).await;
    let backend = opened.map_err(|failure| failure.to_string())?;
    let finding = look_into(&backend).await.map_err(|problem| failed(&problem));
    backend.close().await;
    finding.map(|()| format!("{target} answers, and its tables are there"))
}

async fn look_into(backend: &Backend) -> std::result::Result<(), String> {
    backend.store.ping().await.map_err(|error| format!("it does not answer: {error}"))?;
    let tables = backend.accounts.find_user(UserId::new()).await;
    tables.map_err(|error| match error {
        error if error.is_passing() => format!("it does not answer: {error}"),
        _ => "its tables are not there: run `nexo-dashboard migrate`".to_owned(),
    })?;
    backend.check_integrity().await.map_err(|failure| failure.to_string())
}

async fn mail(config: &Config) -> Finding {
    let carrier = Carrier::new(config).map_err(|failure| failure.to_string())?;
    carrier.check().await.map_err(|failure| failure.to_string())?;
    Ok(match &config.mail.smtp {
        Some(smtp) => format!("{}:{} answers", smtp.server, smtp.port),
        None => {
            format!("no MAIL_SERVER: mails become files in {}", config.mail_directory().display())
        }
    })
}
