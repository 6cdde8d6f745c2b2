//! A proxy in front of a server that records what clients send (to prove that something was sent,
//! or that nothing was), and that closes or silences connections on request.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::Value;

/// The bytes sent on one connection.
type Sent = Arc<Mutex<Vec<u8>>>;

/// Inspects what a client sends, before it is forwarded to the server.
type Witness = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// The effect on a connection when a client sends a given text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed, and the text is not forwarded.
    Cut,
    /// The connection stays open, and nothing is forwarded any more in either direction.
    Silence,
}

/// The pending faults, and the number that occurred.
#[derive(Debug, Default)]
struct Faults {
    /// The text, its fault, and the number of repetitions.
    armed: Mutex<Option<(String, Fault, usize)>>,
    fired: AtomicUsize,
    /// Both ends of all connections, to close them.
    streams: Mutex<Vec<TcpStream>>,
}

impl Faults {
    /// Returns the fault that these bytes trigger.
    fn of(&self, bytes: &[u8]) -> Option<Fault> {
        let mut armed = self.armed.lock().unwrap();
        let (text, fault, left) = armed.as_mut()?;
        if *left == 0 || !bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            return None;
        }
        *left -= 1;
        self.fired.fetch_add(1, Ordering::SeqCst);
        Some(*fault)
    }
}

/// A proxy that forwards everything, except for the faults that a test requests. Its threads end
/// with the process.
pub(crate) struct Wire {
    port: u16,
    connections: Arc<Mutex<Vec<Sent>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    faults: Arc<Faults>,
}

impl Wire {
    /// Opens a proxy for the server on another port of this machine.
    pub(crate) fn before(server: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(server), true)
    }

    /// Opens a proxy that passes requests to a callback and forwards them after it returns.
    pub(crate) fn witnessed(server: u16, witness: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Self::listen_with(listener, Some(server), true, Some(Arc::new(witness)))
    }

    /// As above, on a given port.
    pub(crate) fn on(port: u16, server: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", port)).unwrap(), Some(server), true)
    }

    /// Opens a proxy that blocks everything until [`Wire::open`].
    pub(crate) fn closed(server: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).unwrap(), Some(server), false)
    }

    /// Opens a port that counts and closes connections.
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
        let faults = Arc::<Faults>::default();
        let (all, barrier, wrong) = (Arc::clone(&connections), Arc::clone(&gate), Arc::clone(&faults));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let sent = Sent::default();
                all.lock().unwrap().push(Arc::clone(&sent));
                let (barrier, wrong, witness) = (Arc::clone(&barrier), Arc::clone(&wrong), witness.clone());
                thread::spawn(move || {
                    let (open, opened) = &*barrier;
                    drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                    pass_on(client, server, &sent, &wrong, witness.as_ref());
                });
            }
        });
        Self { port, connections, gate, faults }
    }

    /// Forwards everything that was blocked, and everything later.
    pub(crate) fn open(&self) {
        let (open, opened) = &*self.gate;
        *open.lock().unwrap() = true;
        opened.notify_all();
    }

    /// Triggers a fault on the next `times` messages of clients that contain this text.
    pub(crate) fn fail_at(&self, text: &str, fault: Fault, times: usize) {
        *self.faults.armed.lock().unwrap() = Some((text.to_owned(), fault, times));
    }

    /// Returns the number of faults that occurred.
    pub(crate) fn failures(&self) -> usize {
        self.faults.fired.load(Ordering::SeqCst)
    }

    /// Closes every open connection, as a firewall or a restart does.
    pub(crate) fn cut_all(&self) {
        for stream in self.faults.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the number of connections since the last [`Wire::forget`].
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Resets the count of connections.
    pub(crate) fn forget(&self) {
        self.connections.lock().unwrap().clear();
    }

    /// Returns the HTTP requests that were sent, as method, path and body.
    pub(crate) fn requests(&self) -> Vec<(String, String, Value)> {
        let connections = self.connections.lock().unwrap();
        connections.iter().flat_map(|sent| requests(&sent.lock().unwrap())).collect()
    }

    /// Returns the number of round trips of PostgreSQL clients, without those for login and for
    /// checking idle connections.
    pub(crate) fn questions(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|sent| questions(&sent.lock().unwrap())).sum()
    }
}

/// Counts the round trips of one connection: simple queries, and Sync messages.
fn questions(mut bytes: &[u8]) -> usize {
    let length = |bytes: &[u8], at: usize| -> usize {
        bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().unwrap()) as usize)
    };
    // Messages before the password have no type byte: the TLS request, and the startup message.
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

fn pass_on(client: TcpStream, server: Option<u16>, sent: &Sent, faults: &Faults, witness: Option<&Witness>) {
    let Some(server) = server.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()) else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    faults.streams.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_silent = Arc::<AtomicBool>::default();
    let silence = Arc::clone(&is_silent);
    thread::spawn(move || copy(from_server, to_client, &silence, |_| None));
    copy(client, server, &is_silent, |bytes| {
        sent.lock().unwrap().extend_from_slice(bytes);
        if let Some(witness) = witness {
            witness(bytes);
        }
        faults.of(bytes)
    });
}

fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    is_silent: &AtomicBool,
    look: impl Fn(&[u8]) -> Option<Fault>,
) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        match look(&buffer[..count]) {
            Some(Fault::Cut) => {
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
            Some(Fault::Silence) => is_silent.store(true, Ordering::SeqCst),
            None => {}
        }
        if is_silent.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Splits the data of one connection into requests: HTTP/1.1, bodies with a length.
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
