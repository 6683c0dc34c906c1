//! The `ragpod` program.

fn main() {}
