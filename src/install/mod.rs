//! Files on disk: the units of all instances, each instance's lock and state.
//!
//! Everything here is changed as a whole or not at all. The one flat unit directory is staged
//! next to the manifests, checked, made durable and exchanged in one step ([`UnitDir`]); single
//! files go through [`atomic_write`]. Whoever changes something holds a [`Lock`].

mod atomic;
mod lock;
mod plan;
mod state;
mod tree;
mod write;

pub use atomic::atomic_write;
pub use lock::{Holder, Lock, Scope};
pub use plan::{Installed, Plan, plan};
pub use state::State;
pub use write::{Step, UnitDir};
