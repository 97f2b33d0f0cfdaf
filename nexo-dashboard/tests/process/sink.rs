//! A mail server that keeps what it is sent.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A mail as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Headers and parts, their encoding undone.
    pub(crate) text: String,
}

impl Received {
    /// The token in the link to a page, from the plain part.
    pub(crate) fn token(&self, url: &str, page: &str) -> String {
        let link = format!("{url}/auth/{page}?token=");
        let (_, rest) = self.text.split_once(&link).unwrap_or_else(|| panic!("{}", self.text));
        rest.split(char::is_whitespace).next().unwrap().to_owned()
    }
}

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    mails: Arc<Mutex<Vec<Received>>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sink = Self { port, mails: Arc::default() };
        let mails = Arc::clone(&sink.mails);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(talk(socket, Arc::clone(&mails)));
            }
        });
        sink
    }

    pub(crate) async fn mail(&self, number: usize) -> Received {
        let mails = Arc::clone(&self.mails);
        let find = async || mails.lock().unwrap().get(number).cloned();
        super::harness::eventually("the mail", find).await
    }

    pub(crate) fn count(&self) -> usize {
        self.mails.lock().unwrap().len()
    }
}

async fn talk(socket: TcpStream, mails: Arc<Mutex<Vec<Received>>>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(b"220 sink\r\n").await?;
    let (mut mail, mut line) = (Received::default(), String::new());
    loop {
        line.clear();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let reply = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-sink\r\n250 8BITMIME",
            "MAIL" => {
                mail.from = address(&command);
                "250 ok"
            }
            "RCPT" => {
                mail.to = address(&command);
                "250 ok"
            }
            "DATA" => {
                socket.write_all(b"354 go on\r\n").await?;
                mail.text = decoded(&data(&mut socket).await?);
                mails.lock().unwrap().push(std::mem::take(&mut mail));
                "250 kept"
            }
            "QUIT" => return socket.write_all(b"221 bye\r\n").await,
            _ => "250 ok",
        };
        socket.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

async fn data(socket: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        if line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn address(command: &str) -> String {
    let (_, rest) = command.split_once('<').unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}

/// Undoes quoted-printable (RFC 2045, 6.7), as far as it is ASCII.
pub(crate) fn decoded(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut pieces = text.split('=');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&piece[2..]);
            }
            None => {
                plain.push('=');
                plain.push_str(piece);
            }
        }
    }
    plain
}
