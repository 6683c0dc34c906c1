//! The fuzz targets on the corpus that fuzzing left: what once broke, and what reaches far.

// What it fails on is printed, and shown by the test runner.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod checks;

use std::path::Path;

#[test]
fn the_corpus_breaks_nothing() {
    for (target, check) in checks::TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&dir).expect("a corpus") {
            let path = entry.expect("an entry").path();
            let data = std::fs::read(&path).expect("a file");
            // The test's output is shown when it fails: the last line names the input.
            println!("{}", path.display());
            check(&data);
            count += 1;
        }
        assert!(count >= 20, "{target}: {count} inputs only");
    }
}

/// A check that cannot fail would be none.
#[test]
#[should_panic(expected = "nobody says why")]
fn a_refusal_without_a_reason_is_found() {
    checks::told(&[], "");
}
