//! Servers that are down, old, broken, closed or something else: what is said, and what never is.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::worlds::{chroma_vector, here};
use crate::stack::{Secret, VectorAuth};
use crate::vector::{Client, Observed, observe};

#[tokio::test]
async fn c09_nobody_there_is_said_with_host_and_port_and_no_password() {
    let vector = chroma_vector("http://me:hunter2hunter2@127.0.0.1:9");

    let client = Client::new(&vector).unwrap();

    let seen = observe(&client).await;

    let Observed::Unreachable { message } = seen else { panic!("{seen:?}") };
    assert!(message.starts_with("cannot reach Chroma at 127.0.0.1:9: "), "{message}");
    assert!(!format!("{message} {client:?}").contains("hunter2"), "{message} {client:?}");
}

/// A server that answers each request with what `answer` gives for its first line, and notes the
/// whole requests.
async fn fake(answer: fn(&str, usize) -> (u16, &'static str)) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4_096];
            let length = stream.read(&mut bytes).await.unwrap();
            let request = String::from_utf8_lossy(&bytes[..length]).to_lowercase();
            let (status, body) = answer(request.lines().next().unwrap(), noted.lock().unwrap().len());
            noted.lock().unwrap().push(request);
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close", body.len());
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        }
    });
    (url, requests)
}

async fn message_of(url: &str) -> String {
    match observe(&Client::new(&chroma_vector(url)).unwrap()).await {
        Observed::Unreachable { message } => message,
        Observed::Reachable(seen) => panic!("{seen:?}"),
    }
}

#[tokio::test]
async fn a_chroma_of_the_first_api_is_recognised_and_refused() {
    let (url, _) =
        fake(|line, _| if line.contains("/api/v1/heartbeat") { (200, "{}") } else { (404, "") }).await;

    let message = message_of(&url).await;

    assert!(message.contains("version 0.6 or later is needed"), "{message}");
}

#[tokio::test]
async fn what_is_not_chroma_is_said() {
    let (page, _) = fake(|_, _| (200, "<html>")).await;
    let (nothing, _) = fake(|_, _| (404, "not here")).await;

    assert!(message_of(&page).await.contains("is not Chroma: an answer that is not understood"));
    assert!(message_of(&nothing).await.contains("is not Chroma: no /api/v2/heartbeat there (not here)"));
}

#[tokio::test]
async fn a_failing_server_is_asked_again_and_a_refusing_one_is_not() {
    let (failing, asked) = fake(|_, number| if number < 2 { (503, "") } else { (401, "") }).await;

    let message = message_of(&failing).await;

    assert!(message.contains("refuses the credential (HTTP 401)"), "{message}");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_token_is_sent_in_the_header_of_auth_and_shown_nowhere() {
    let token = "user:open-sesame-1234";
    for (auth, header, other) in [
        (None, "authorization: bearer user:open-sesame-1234", "x-chroma-token"),
        (Some(VectorAuth::Bearer), "authorization: bearer user:open-sesame-1234", "x-chroma-token"),
        (Some(VectorAuth::Token), "x-chroma-token: user:open-sesame-1234", "authorization"),
        (Some(VectorAuth::Basic), "authorization: basic dxnlcjpvcgvulxnlc2ftzs0xmjm0", "x-chroma-token"),
    ] {
        let (url, requests) = fake(|_, _| (500, "{\"error\":\"broken\"}")).await;
        let mut vector = chroma_vector(&url);
        (vector.token, vector.auth) = (Some(Secret::new("${TOKEN}", Ok(token.into()), here())), auth);
        let client = Client::new(&vector).unwrap();

        let seen = observe(&client).await;

        let request = requests.lock().unwrap()[0].to_lowercase();
        assert!(request.contains(header) && !request.contains(other), "{request}");
        assert!(!format!("{seen:?} {client:?} {vector:?}").contains(token));
    }
}
