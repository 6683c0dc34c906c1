//! End to end: the built program, real Podman, real systemd, real PostgreSQL, in the test host.
//!
//! Each test has instances of its own, which are removed with everything when it ends. A test
//! that reboots the host waits until no other one runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod host;

mod audit;
mod bad_input;
mod change;
mod concurrent;
mod custom;
mod doctor;
mod egress;
mod encoding;
mod faults;
mod first;
mod generations;
mod hardening;
mod heal;
mod hostile;
mod ingest;
mod keep;
mod killed;
mod mcp;
mod moved;
mod provider;
mod remote;
mod resumed;
mod schedule;
mod secrets;
mod see;
mod standin;
mod terminal;
mod two;
mod upstream;
