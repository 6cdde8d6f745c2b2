//! A listener in front of a server, which writes down what clients send: proof that something was
//! sent, or that nothing was.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::Value;

/// What one connection sent.
type Sent = Arc<Mutex<Vec<u8>>>;

/// Looks at what a client sends, before the server gets it.
type Witness = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A port that passes everything on. Its threads end with the process.
pub(crate) struct Wire {
    port: u16,
    connections: Arc<Mutex<Vec<Sent>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Wire {
    /// A port in front of the server on another port of this machine.
    pub(crate) fn before(server: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(server), true)
    }

    /// A port that shows what clients send to somebody, and passes it on when that has returned.
    pub(crate) fn witnessed(server: u16, witness: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Self::listen_with(listener, Some(server), true, Some(Arc::new(witness)))
    }

    /// The same on a port of the caller's choice.
    pub(crate) fn on(port: u16, server: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", port)).unwrap(), Some(server), true)
    }

    /// A port that holds everything back until [`Wire::open`].
    pub(crate) fn closed(server: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(server), false)
    }

    /// A port that hangs up on whoever comes, and counts them.
    pub(crate) fn to_nobody() -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).unwrap(), None, true)
    }

    fn listen(listener: TcpListener, server: Option<u16>, is_open: bool) -> Self {
        Self::listen_with(listener, server, is_open, None)
    }

    fn listen_with(
        listener: TcpListener,
        server: Option<u16>,
        is_open: bool,
        witness: Option<Witness>,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new((Mutex::new(is_open), Condvar::new()));
        let (all, barrier) = (Arc::clone(&connections), Arc::clone(&gate));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let sent = Sent::default();
                all.lock().unwrap().push(Arc::clone(&sent));
                let (barrier, witness) = (Arc::clone(&barrier), witness.clone());
                thread::spawn(move || {
                    let (open, opened) = &*barrier;
                    drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                    pass_on(client, server, &sent, witness.as_ref());
                });
            }
        });
        Self { port, connections, gate }
    }

    /// Lets through what was held back, and all that follows.
    pub(crate) fn open(&self) {
        let (open, opened) = &*self.gate;
        *open.lock().unwrap() = true;
        opened.notify_all();
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections came since the last [`Wire::forget`].
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Begins to count anew.
    pub(crate) fn forget(&self) {
        self.connections.lock().unwrap().clear();
    }

    /// The HTTP requests that were sent, as method, path and body.
    pub(crate) fn requests(&self) -> Vec<(String, String, Value)> {
        let connections = self.connections.lock().unwrap();
        connections.iter().flat_map(|sent| requests(&sent.lock().unwrap())).collect()
    }

    /// How often a client of PostgreSQL asked and waited for the answer. Signing on and looking
    /// whether a connection still lives do not count.
    pub(crate) fn questions(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|sent| questions(&sent.lock().unwrap())).sum()
    }
}

/// Counts the questions of one connection: simple queries, and what ends a row of messages.
fn questions(mut bytes: &[u8]) -> usize {
    let length = |bytes: &[u8], at: usize| -> usize {
        bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().unwrap()) as usize)
    };
    // What comes before the password has no letter: the wish for TLS, and the name.
    while bytes.first() == Some(&0) {
        bytes = bytes.get(length(bytes, 0)..).unwrap_or_default();
    }
    let (mut count, mut is_asking) = (0, false);
    while let Some(letter) = bytes.first() {
        match letter {
            b'Q' => count += 1,
            b'S' => count += usize::from(std::mem::take(&mut is_asking)),
            b'P' | b'B' | b'D' | b'E' | b'C' => is_asking = true,
            _ => {}
        }
        bytes = bytes.get(1 + length(bytes, 1)..).unwrap_or_default();
    }
    count
}

fn pass_on(client: TcpStream, server: Option<u16>, sent: &Sent, witness: Option<&Witness>) {
    let Some(server) = server.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || copy(from_server, to_client, |_| {}));
    copy(client, server, |bytes| {
        sent.lock().unwrap().extend_from_slice(bytes);
        if let Some(witness) = witness {
            witness(bytes);
        }
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Takes the requests of one connection apart: HTTP/1.1, bodies with a length.
fn requests(mut bytes: &[u8]) -> Vec<(String, String, Value)> {
    let mut requests = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.trim().parse().unwrap());
        let body = &bytes[end + 4..(end + 4 + length).min(bytes.len())];
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        requests.push((first.next().unwrap_or_default(), first.next().unwrap_or_default(), body));
        bytes = &bytes[(end + 4 + length).min(bytes.len())..];
    }
    requests
}

#[test]
fn a_wire_passes_requests_on_and_takes_them_apart() {
    let sent = b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"a\": 1}\nGET /b HTTP/1.1\r\nhost: x\r\n\r\n";
    let found = requests(sent);
    assert_eq!(found[0], ("POST".to_owned(), "/a".to_owned(), serde_json::json!({"a": 1})));
    assert_eq!((found[1].0.as_str(), found[1].1.as_str()), ("GET", "/b"));
}
