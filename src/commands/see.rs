//! `graph` and `usage`.

use std::process::ExitCode;

use owo_colors::OwoColorize;

use super::Front;
use super::tables::{or_dash, print, table};
use crate::cli::{Graph, Names};
use crate::error::{Error, Result};
use crate::graph;
use crate::ops;
use crate::output::human_bytes;

pub(super) fn graph(front: &Front<'_>, args: &Graph) -> Result<ExitCode> {
    let (drawn, wrong) = ops::graph::graph(front.quiet(), &args.names)?;
    for error in &wrong {
        front.printer.warn(&format!("not drawn: {}", error.message));
    }
    match &args.output {
        Some(file) => {
            std::fs::write(file, graph::svg(&drawn)).map_err(|e| Error::io("write", file, &e))?;
            front.printer.say(&format!("{} drawn into {file}", count(drawn.len())));
        }
        None if args.svg => front.printer.data(&graph::svg(&drawn))?,
        None => front.printer.data(&graph::text(&drawn))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn count(instances: usize) -> String {
    if instances == 1 { "1 instance".to_owned() } else { format!("{instances} instances") }
}

pub(super) fn usage(front: &Front<'_>, args: &Names) -> Result<ExitCode> {
    let usage = ops::usage::usage(front.quiet(), &args.names)?;
    if front.printer.json {
        front.printer.document(&usage)?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["INSTANCE", "DATABASE", "ENGINE", "BACKUPS", "STATE", "TOTAL"];
    let mut rows = table(head, &[1, 2, 3, 4, 5]);
    for i in &usage.instances {
        rows.add_row([
            i.name.clone(),
            or_dash(i.postgres_bytes.map(human_bytes)),
            or_dash(i.engine_bytes.map(human_bytes)),
            or_dash((i.backups_bytes > 0).then(|| human_bytes(i.backups_bytes))),
            human_bytes(i.state_bytes),
            human_bytes(i.total_bytes),
        ]);
    }
    if usage.instances.len() > 1 {
        let gap = String::new;
        let total = human_bytes(usage.total_bytes).bold().to_string();
        rows.add_row(["all".bold().to_string(), gap(), gap(), gap(), gap(), total]);
    }
    print(front, &rows)?;
    if !usage.images.is_empty() {
        front.printer.data("\n")?;
        let mut rows = table(["IMAGE", "SIZE"], &[1]);
        for image in &usage.images {
            rows.add_row([image.image.clone(), human_bytes(image.bytes)]);
        }
        print(front, &rows)?;
        front.printer.say("images are shared by all instances, and layers by images");
    }
    Ok(ExitCode::SUCCESS)
}
