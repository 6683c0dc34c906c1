//! Files on disk: the units of all instances, each instance's lock, state and generations.
//!
//! Everything here is changed as a whole or not at all. The one flat unit directory is staged
//! next to the manifests, checked, made durable and exchanged in one step ([`UnitDir`]); single
//! files go through [`atomic_write`]. Whoever changes something holds a [`Lock`].

mod atomic;
mod generation;
mod intent;
mod json;
mod leftovers;
mod lock;
mod plan;
mod records;
mod rest;
mod runs;
mod schedule;
mod state;
mod tree;
mod write;

pub use atomic::{atomic_write, create_dirs, sweep, sync_dir, temporary_prefix};
pub use generation::{Generation, History, Set, UsedImage};
pub use intent::Intent;
pub use leftovers::{
    Leftovers, forget_holder, leftovers, remove_leftovers, remove_temporary, temporary,
};
pub use lock::{Holder, Lock, POLL as LOCK_POLL, Scope, locked};
pub use plan::{Installed, Plan, plan};
pub use records::{Renaming, Restoring};
pub use rest::{Lasting, Rest, Uses};
pub use runs::Run;
pub use schedule::Schedules;
pub use state::{State, sweep_state};
pub use write::{Step, UnitDir, owner};
