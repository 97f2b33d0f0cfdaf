//! A client on one connection that is kept open.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use nexo_bench::hosts::{USER, USER_HEADER};

/// More than any answer takes, also of a server that is slowed down.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, and what is asked on it.
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
    request: String,
}

impl Client {
    /// Connects, to ask the same again and again.
    pub(crate) fn connect(
        server: SocketAddr,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<Self> {
        let connection = TcpStream::connect(server)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let content = match length {
            0 => String::new(),
            _ => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        // As many headers as a small client sends.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {server}\r\nuser-agent: nexo-bench\r\naccept: */*\r\n\
             accept-encoding: identity\r\n{USER_HEADER}: {USER}\r\n{content}\r\n{body}"
        );
        Ok(Self { connection: BufReader::new(connection), request })
    }

    /// Asks once, and gives the answer's body.
    pub(crate) fn ask(&mut self) -> io::Result<String> {
        self.connection.get_mut().write_all(self.request.as_bytes())?;
        let status = self.line()?;
        if !status.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("the answer is {status}")));
        }
        let mut body = vec![0; self.length()?];
        self.connection.read_exact(&mut body)?;
        String::from_utf8(body).map_err(io::Error::other)
    }

    /// Reads the headers, and gives how long the body is.
    fn length(&mut self) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok(length);
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.connection.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
