//! systemd reads all units again, once for all who ask at the same time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::error::Result;
use crate::systemd::Systemd;

/// How long systemd may take to read all units again: 1.3 s with a thousand instances.
const RELOAD: Duration = Duration::from_secs(30);

/// How many reloads this process has asked for.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// Which of them are done: the highest.
static DONE: Mutex<u64> = Mutex::const_new(0);

/// Has systemd read what is on disk now. Instances that are brought up at the same time share
/// reloads: one that begins after somebody has asked is theirs, too.
pub(super) async fn reload(bus: &Systemd) -> Result<()> {
    let ours = ASKED.fetch_add(1, Ordering::SeqCst) + 1;
    let mut done = DONE.lock().await;
    if *done >= ours {
        return Ok(());
    }
    let all = ASKED.load(Ordering::SeqCst);
    bus.reload(RELOAD).await?;
    *done = all;
    Ok(())
}
