//! Clients that misbehave.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Home, Server};

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

/// Reads until the server closes the connection.
async fn rest(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut text)).await;
    // A reset is an end as well.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn half_heads_are_closed_while_good_clients_are_served() {
    let home = Home::new();
    let server = home.start(&[("HEADER_TIMEOUT_SECONDS", "1")]);
    let started = Instant::now();
    let mut bad = Vec::new();
    for number in 0..100 {
        let mut socket = connect(&server).await;
        let said: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-half: ",
            2 => b"PRI * HTT",
            _ => b"G",
        };
        socket.write_all(said).await.unwrap();
        bad.push(socket);
    }

    assert!(server.get("/users/me", "").await.0 == 401);
    for socket in bad {
        rest(socket).await;
    }

    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_client_that_dribbles_its_head_is_closed() {
    let home = Home::new();
    let server = home.start(&[("HEADER_TIMEOUT_SECONDS", "1")]);
    let mut socket = connect(&server).await;
    let started = Instant::now();

    socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(50));
    while socket.write_all(b"x: y\r\n").await.is_ok() {
        every.tick().await;
        assert!(started.elapsed() < Duration::from_secs(10), "it goes on");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let home = Home::new();
    let server = home.start(&[]);

    for bytes in [20_000, 200_000] {
        let mut socket = connect(&server).await;
        let filler = "a".repeat(bytes);
        let head = format!(
            "GET /users/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {filler}\r\n\r\n"
        );
        let _ = socket.write_all(head.as_bytes()).await;
        let answer = rest(socket).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{bytes}: {answer}");
    }
}

#[tokio::test]
async fn an_address_gets_no_more_connections_than_its_share() {
    let home = Home::new();
    let server = home.start(&[("MAX_CONNECTIONS_PER_ADDRESS", "3")]);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = connect(&server).await;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_ne!(socket.read(&mut [0; 64]).await.unwrap(), 0);
        open.push(socket);
    }

    let refused = connect(&server).await;

    assert_eq!(rest(refused).await, "");
}
