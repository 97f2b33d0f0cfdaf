//! Clients that misbehave.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Home, Server, eventually};

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
    for (_home, server) in Home::each(&[("HEADER_TIMEOUT_SECONDS", "1")]) {
        let started = Instant::now();
        let mut bad = Vec::new();
        for number in 0..100 {
            let mut socket = connect(&server).await;
            let said: &[u8] = match number % 4 {
                0 => b"",
                1 => b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-half: ",
                2 => b"PRI * HTTP/2.0\r\n",
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
}

#[tokio::test]
async fn a_client_that_dribbles_its_head_is_closed() {
    for (_home, server) in Home::each(&[("HEADER_TIMEOUT_SECONDS", "1")]) {
        let mut socket = connect(&server).await;
        let started = Instant::now();

        socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut every = tokio::time::interval(Duration::from_millis(50));
        while socket.write_all(b"x: y\r\n").await.is_ok() {
            every.tick().await;
            assert!(started.elapsed() < Duration::from_secs(10), "it goes on");
        }
    }
}

#[tokio::test]
async fn the_deadline_holds_for_every_head_of_a_connection() {
    for (_home, server) in Home::each(&[("HEADER_TIMEOUT_SECONDS", "1")]) {
        for said in ["", "GET /healthz HTTP/1.1\r\nhost: "] {
            let mut socket = connect(&server).await;
            let first = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n{said}");
            socket.write_all(first.as_bytes()).await.unwrap();

            let answer = rest(socket).await;

            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head() {
    for (_home, server) in Home::each(&[("HEADER_TIMEOUT_SECONDS", "1")]) {
        let token = server.new_user("nora@example.com").await;
        let thread = server.new_thread(&token, 1_500).await;
        let question = serde_json::json!({"content": "Is it vegan?"});
        server.post(&format!("{thread}/messages"), &token, question).await;

        let (status, run) = server.post(&format!("{thread}/run"), &token, ().into()).await;

        assert_eq!((status.as_u16(), &run["status"]), (200, &"completed".into()));
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    for (_home, server) in Home::each(&[]) {
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
}

/// Many clients write all that they have before they read anything.
#[tokio::test]
async fn who_sends_too_much_and_then_reads_is_told_so() {
    let body = vec![b'a'; 1_900_000];
    let head = format!(
        "POST /auth/register HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = async |server: &Server| {
        let mut socket = connect(server).await;
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body).await.expect("the body is let through");
        rest(socket).await
    };
    for (_home, server) in Home::each(&[]) {
        for answer in join_all((0..20).map(|_| answer(&server))).await {
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_address_gets_no_more_connections_than_its_share() {
    for (_home, server) in Home::each(&[("MAX_CONNECTIONS_PER_ADDRESS", "3")]) {
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
}

#[tokio::test]
async fn a_client_that_is_gone_gives_its_place_back_at_once() {
    for (_home, server) in Home::each(&[("MAX_CONNECTIONS_PER_ADDRESS", "4")]) {
        let token = server.new_user("nora@example.com").await;
        let thread = server.new_thread(&token, 60_000).await;
        let question = serde_json::json!({"content": "Is it vegan?"});
        server.post(&format!("{thread}/messages"), &token, question).await;
        let head = format!(
            "GET {thread}/run/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let watch = async || {
            let mut socket = connect(&server).await;
            socket.write_all(head.as_bytes()).await.unwrap();
            let mut start = [0; 12];
            let read = socket.read_exact(&mut start).await;
            read.is_ok_and(|_| start.ends_with(b"200")).then_some(())
        };
        // At their next heartbeat, they would be noticed as well.
        let all = async {
            for _ in 0..20 {
                eventually("a stream", watch).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .expect("places are not given back");
    }
}

#[tokio::test]
async fn what_a_client_says_that_makes_no_sense_is_not_in_the_log() {
    for (_home, server) in Home::each(&[]) {
        for nonsense in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
            let mut socket = connect(&server).await;
            socket.write_all(nonsense.as_bytes()).await.unwrap();
            rest(socket).await;
        }

        assert!(!server.log().contains("ERROR"), "{}", server.log());
    }
}
