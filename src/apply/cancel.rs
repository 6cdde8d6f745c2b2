//! Ctrl-C: the first lets running steps finish and starts no new ones, the second stops at once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

/// Whether the run was asked to stop. Cloned handles are one.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    asked: AtomicU8,
    changed: Notify,
    /// Why it must stop, where it was not asked by a person.
    reason: OnceLock<String>,
}

impl Cancel {
    /// A run that nobody asked to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks once more to stop.
    pub fn ask(&self) {
        // Saturates: a third time is a second one.
        let _ = self.0.asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n.saturating_add(1)));
        self.0.changed.notify_waiters();
    }

    /// Stops at once, for a reason that is not the user's wish.
    pub fn stop(&self, reason: String) {
        let _ = self.0.reason.set(reason);
        self.ask();
        self.ask();
    }

    /// Why it must stop, where nobody asked.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.get().map(String::as_str)
    }

    /// Whether it must stop at once.
    pub fn is_urgent(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst) > 1
    }

    /// Whether no new step may start.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst) > 0
    }

    /// Waits until it was asked `times` times.
    pub async fn asked(&self, times: u8) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Registered before the look: what is asked between the two is not missed.
            changed.as_mut().enable();
            if self.0.asked.load(Ordering::SeqCst) >= times {
                return;
            }
            changed.await;
        }
    }

    /// Does what may be left off anywhere; `None` as soon as it was asked to stop.
    pub fn unless_asked<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        self.until_asked(1, work)
    }

    /// The same for what is finished when it was asked once, and left off when it must stop at once.
    pub fn unless_urgent<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        self.until_asked(2, work)
    }

    fn until_asked<T>(&self, times: u8, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        // All that a run keeps while it waits is too large for the stack.
        let work = Box::pin(work);
        async move {
            tokio::select! {
                biased;
                () = self.asked(times) => None,
                done = work => Some(done),
            }
        }
    }

    /// Listens for Ctrl-C and for a polite kill until the process ends. From here on neither ends it, but
    /// for what does not heed them: see [`Grace`].
    ///
    /// On a thread of its own: what waits on the others for a disk, or for who reads the output, must not
    /// keep a signal from being heard.
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
                    runtime.block_on(cancel.hear(signals, grace));
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        told.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))
    }

    /// Passes signals on. Ends the process where one is not heeded in time, and at the third.
    async fn hear(&self, mut signals: Signals, Grace { times, most }: Grace) {
        const INTERRUPTED: i32 = 130;
        let mut over = std::pin::pin!(tokio::time::sleep(most));
        loop {
            let is_late = tokio::select! {
                heard = signals.next() => {
                    if heard.is_err() {
                        return;
                    }
                    self.ask();
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

/// How long a command may take to end by itself after so many signals; then its process is ended. Nothing
/// is lost by that which a kill would not lose.
#[derive(Debug, Clone, Copy)]
pub struct Grace {
    /// Signals.
    pub times: u8,
    /// How long.
    pub most: Duration,
}

/// The signals that ask to stop. Made once: what comes between two looks is not lost.
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
