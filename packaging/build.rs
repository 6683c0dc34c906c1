//! The image recipes are compiled into the binary by a macro that sees changed files but not new
//! ones; this makes cargo look at the whole folder.

fn main() {
    println!("cargo::rerun-if-changed=packaging/images");
}
