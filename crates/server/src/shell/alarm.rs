//! The driver's alarm: one task that sleeps until the instant that was set last.

use super::Shell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use wholly_core::input::Input;
use wholly_core::time::Instant;

/// Until when the task sleeps if no alarm is set.
const FAR: u64 = u64::MAX;
/// A driver that wants to be woken at once, again and again, is woken this often.
const RING_EVERY: Duration = Duration::from_millis(1);
/// Longest sleep in one go; the timer of the runtime has an end.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// Shared by the shell, which sets it under its lock, and the task.
pub(super) struct Alarm {
    /// What was set.
    at: AtomicU64,
    /// What the task sleeps until.
    sleeping: AtomicU64,
    earlier: Arc<Notify>,
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm {
            at: AtomicU64::new(FAR),
            sleeping: AtomicU64::new(FAR),
            earlier: Arc::new(Notify::new()),
        }
    }
}

impl Alarm {
    /// Sets the alarm. Only an earlier one disturbs the task; a later one it finds by itself.
    pub(super) fn set(&self, wake: Option<Instant>) {
        let at = wake.map_or(FAR, |at| at.0);
        self.at.store(at, Ordering::SeqCst);
        if at < self.sleeping.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// What to sleep until, said before it is read again, so that no earlier one slips between.
    fn settle(&self) -> u64 {
        loop {
            let at = self.at.load(Ordering::SeqCst);
            self.sleeping.store(at, Ordering::SeqCst);
            if self.at.load(Ordering::SeqCst) == at {
                return at;
            }
        }
    }
}

/// Wakes the driver whenever its alarm is due, as long as the shell lives.
pub(super) async fn ring(shell: Weak<Shell>) {
    let mut rang = FAR;
    loop {
        let Some(strong) = shell.upgrade() else { return };
        let earlier = Arc::clone(&strong.alarm.earlier);
        let now = strong.now().monotonic.0;
        let at = strong.alarm.settle();
        let rest = Duration::from_millis(at.saturating_sub(now));
        if rest.is_zero() {
            // One that the driver leaves standing has rung already.
            if at != rang {
                rang = at;
                strong.metrics.rang(Duration::from_millis(now - at));
            }
            strong.input(Input::Woken);
            drop(strong);
            tokio::time::sleep(RING_EVERY).await;
            continue;
        }
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(rest.min(SLEEP_MAX)) => {}
            () = earlier.notified() => {}
        }
    }
}
