//! Cancellation by Ctrl-C: the first signal lets running steps finish and starts no new ones, the
//! second stops at once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

/// A cancellation token. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: AtomicU8,
    changed: Notify,
    /// Why the run must stop, unless a user requested it.
    reason: OnceLock<String>,
}

impl Cancel {
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests to stop; a second request is urgent.
    pub fn request(&self) {
        // Saturates: further requests have no additional meaning.
        let _ = self.0.asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_add(1)));
        self.0.changed.notify_waiters();
    }

    /// Stops at once, for a reason other than a user's request.
    pub fn stop(&self, reason: String) {
        let _ = self.0.reason.set(reason);
        self.request();
        self.request();
    }

    /// Returns why the run must stop, unless a user requested it.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.get().map(String::as_str)
    }

    /// Whether it must stop at once.
    pub fn is_urgent(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst) > 1
    }

    /// Whether a stop was requested, so that no new step may start.
    pub fn is_requested(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst) > 0
    }

    /// Waits until a stop was requested `times` times.
    pub async fn requested(&self, times: u8) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Registered before the check, so that a request in between is not missed.
            changed.as_mut().enable();
            if self.0.asked.load(Ordering::SeqCst) >= times {
                return;
            }
            changed.await;
        }
    }

    /// Runs a future that can be dropped at any point; returns `None` as soon as a stop is
    /// requested.
    pub fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        self.until_requested(1, work)
    }

    /// As [`Self::unless_cancelled`], for a future that is dropped only on an urgent stop.
    pub fn unless_urgent<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        self.until_requested(2, work)
    }

    fn until_requested<T>(
        &self,
        times: u8,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        // The future is boxed because it is too large for the stack.
        let work = Box::pin(work);
        async move {
            tokio::select! {
                biased;
                () = self.requested(times) => None,
                done = work => Some(done),
            }
        }
    }

    /// Handles SIGINT and SIGTERM until the process ends. From here on they do not end the process,
    /// unless it does not stop in time: see [`Grace`].
    ///
    /// Runs on its own thread, so that blocking I/O on other threads cannot delay the signals.
    pub fn listen(&self, grace: Grace) -> std::io::Result<()> {
        let cancel = self.clone();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let hearing = runtime.and_then(|runtime| {
                let signals = runtime.block_on(async { Signals::new() })?;
                Ok((runtime, signals))
            });
            match hearing {
                Ok((runtime, signals)) => {
                    drop(tell.send(Ok(())));
                    runtime.block_on(cancel.handle_signals(signals, grace));
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        told.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))
    }

    /// Forwards signals. Ends the process if it does not stop in time, and on the third signal.
    async fn handle_signals(&self, mut signals: Signals, Grace { times, most }: Grace) {
        const INTERRUPTED: i32 = 130;
        let mut over = std::pin::pin!(tokio::time::sleep(most));
        loop {
            let is_late = tokio::select! {
                heard = signals.next() => {
                    if heard.is_err() {
                        return;
                    }
                    self.request();
                    let asked = self.0.asked.load(Ordering::SeqCst);
                    if asked == times {
                        over.as_mut().reset(tokio::time::Instant::now() + most);
                    }
                    asked > times.max(2)
                }
                () = &mut over, if self.0.asked.load(Ordering::SeqCst) >= times => true,
            };
            if is_late {
                std::process::exit(INTERRUPTED);
            }
        }
    }
}

/// After `times` signals, the process is ended if the command does not stop within `most`. Data is
/// as safe as after a SIGKILL.
#[derive(Debug, Clone, Copy)]
pub struct Grace {
    pub times: u8,
    pub most: Duration,
}

/// The signals that request a stop. Registered once, so that signals between two calls of `next`
/// are not lost.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        Ok(())
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
