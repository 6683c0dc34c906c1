//! ragpod gives every `HybridRAG` instance a home of its own as rootless Podman quadlets.
//!
//! Data flows one way: [`manifest`] (text → checked) → [`model`] (the typed instance) → [`render`]
//! (→ unit files) → [`install`] (→ disk) → [`systemd`] (D-Bus) → [`podman`]. A layer knows only the
//! model and what it is given; [`ops`] alone joins them, and [`commands`] parse, call and print.
//! [`mcp`] is the other front, for programs.

pub mod archive;
pub mod cli;
pub mod commands;
pub mod env;
pub mod error;
pub mod exec;
pub mod fault;
pub mod graph;
pub mod host;
pub mod install;
pub mod journal;
pub mod manifest;
pub mod mcp;
pub mod model;
pub mod ops;
pub mod output;
pub mod podman;
pub mod remote;
pub mod render;
pub mod systemd;
pub mod watch;
