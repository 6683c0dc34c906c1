//! What an operation tells while it runs; a front end decides how it looks.

/// What a service is doing, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its job is queued or runs.
    Working,
    /// It is where it was asked to be.
    Done,
    /// It failed.
    Failed,
}

/// The listener of an operation.
pub trait Progress {
    /// A step that takes noticeable time has begun: `building localhost/ragpod/engine:latest`.
    fn step(&self, text: &str);
    /// A line that a program in the current step printed.
    fn output(&self, line: &str);
    /// What a service of an instance is doing: `("demo", "postgres", Working, "starting")`.
    fn service(&self, instance: &str, service: &str, phase: Phase, state: &str);
    /// How far a long step is: `done` of `total`, and what it is at.
    fn advance(&self, done: u64, total: u64, at: &str);
    /// What a long step is doing with what it is at: of use to who watches, too much for a log.
    fn at(&self, _done: u64, _total: u64, _what: &str) {}
    /// Something was finished.
    fn done(&self, text: &str);
    /// Something is not right but does not stop the operation.
    fn warn(&self, text: &str);
}

/// Hears nothing.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str) {}
    fn output(&self, _: &str) {}
    fn service(&self, _: &str, _: &str, _: Phase, _: &str) {}
    fn advance(&self, _: u64, _: u64, _: &str) {}
    fn done(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}
