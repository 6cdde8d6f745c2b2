//! Detects that the machine slept, or that this process was stopped, since a moment.

use std::time::{Duration, Instant, SystemTime};

/// How long a positive answer is valid, so that a batch causes few queries. A new holder needs about as
/// long to connect and observe before its first write.
const FRESH: Duration = Duration::from_millis(200);

/// A moment on two clocks. The monotonic clock stops while the machine sleeps, and the wall clock can be
/// changed, so both have to agree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Whether the moment is recent by both clocks, so that the machine did not sleep since.
    pub(super) fn is_fresh(&self) -> bool {
        self.monotonic.elapsed() < FRESH && self.wall.elapsed().is_ok_and(|elapsed| elapsed < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f03_an_answer_counts_only_while_no_clock_has_jumped() {
        let now = Moment::now();
        let (long, short) = (FRESH * 2, FRESH / 4);
        let before = |monotonic, wall: Duration| Moment {
            monotonic: now.monotonic.checked_sub(monotonic).unwrap(),
            wall: now.wall - wall,
        };

        assert!(before(short, short).is_fresh());
        assert!(!before(long, long).is_fresh(), "the process was stopped");
        assert!(!before(short, long).is_fresh(), "the machine slept");
        assert!(!Moment { wall: now.wall + long, ..now }.is_fresh(), "the clock was set back");
    }
}
