//! A limit in a process of its own, so that its memory and its processor time can be told
//! apart from the client's.

use std::{env, io, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use crate::{process::Process, stage::Target};

/// This program in another role. It ends with this.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    address: String,
}

impl Helper {
    /// Starts it, and comes back when it listens.
    pub(crate) async fn start(role: &str, argument: &str) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args([role, argument]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let address = BufReader::new(output).lines().next_line().await?.unwrap_or_default();
        Ok(Self { child, address })
    }

    /// Where requests go, and who answers them.
    pub(crate) fn target(&self) -> Target {
        let process = self.child.id().map(Process);
        Target { server: format!("http://{}", self.address), token: None, process }
    }
}

/// Listens, and tells the one who started it where.
pub(crate) async fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}
