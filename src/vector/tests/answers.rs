//! A server that answers as a test says, and what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::worlds::chroma_vector;
use crate::vector::{Client, Observed, observe};

/// What a server does with a connection after the request.
pub(super) enum Answer {
    /// A status, further lines of the head, and a body.
    Whole(u16, &'static str, String),
    /// A status, and a body without end.
    Endless(u16),
    /// It hangs up.
    Nothing,
}

impl Answer {
    pub(super) fn json(body: &Value) -> Self {
        Self::Whole(200, "", body.to_string())
    }

    pub(super) fn plain(status: u16, body: &str) -> Self {
        Self::Whole(status, "", body.to_owned())
    }
}

/// What a server was asked, when, and how much it sent.
#[derive(Default)]
pub(super) struct Counts {
    requests: Mutex<Vec<(Instant, String)>>,
    pub(super) bytes: AtomicUsize,
}

impl Counts {
    pub(super) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The first request as it was sent.
    pub(super) fn first(&self) -> String {
        self.requests.lock().unwrap()[0].1.clone()
    }

    /// The time between the first request and the second.
    pub(super) fn first_pause(&self) -> Duration {
        let requests = self.requests.lock().unwrap();
        requests[1].0 - requests[0].0
    }
}

/// A server that answers by the first line of a request and its number. Gives its URL.
pub(super) async fn serve(
    answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
) -> (String, Arc<Counts>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counts = Arc::<Counts>::default();
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let answer = answer(request.lines().next().unwrap_or(""), counted.requests());
            counted.requests.lock().unwrap().push((Instant::now(), request));
            send(stream, answer, &counted).await;
        }
    });
    (url, counts)
}

async fn send(mut stream: TcpStream, answer: Answer, counts: &Counts) {
    match answer {
        Answer::Nothing => {}
        Answer::Whole(status, more, body) => {
            let head =
                format!("HTTP/1.1 {status} X\r\n{more}connection: close\r\ncontent-length: {}", body.len());
            let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
        }
        Answer::Endless(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n[");
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = "0,".repeat(32 * 1024);
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                counts.bytes.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    }
}

/// Returns the message about a server that cannot be read.
pub(super) async fn message_of(url: &str) -> String {
    match observe(&Client::new(&chroma_vector(url)).unwrap()).await {
        Observed::Unreachable { message } => message,
        Observed::Reachable(seen) => panic!("{seen:?}"),
    }
}
