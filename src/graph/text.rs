//! The drawing as text, for a terminal.

use super::{Drawn, LEGEND, Way, width};

/// The pod, with what is in it.
const POD: [&str; 3] = ["┌──────────────────┐", "│ app ──▶ postgres │", "└──────────────────┘"];
const GATEWAY: [&str; 3] = ["┌────────┐", "│ egress │", "└────────┘"];

/// Instances one below the other: what each reads, its pod, and what that may reach.
#[must_use]
pub fn text(instances: &[Drawn]) -> String {
    let mut text = String::new();
    for instance in instances {
        one(&mut text, instance);
        text.push('\n');
    }
    for line in LEGEND {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn one(text: &mut String, instance: &Drawn) {
    text.push_str(&format!("{}  ({})\n", instance.name, instance.engine));
    let targets = instance.targets();
    let left = instance.sources.iter().map(|s| width(s)).max().unwrap_or(0);
    let has_gateway = matches!(instance.way, Way::Allowed(..));
    // The boxes are three lines high; the middle one is where the first arrow is.
    let lines = 3.max(1 + instance.sources.len()).max(1 + targets.len());
    for i in 0..lines {
        let source = i.checked_sub(1).and_then(|i| instance.sources.get(i));
        let target = i.checked_sub(1).and_then(|i| targets.get(i));
        let mut line = String::from("  ");
        if left > 0 {
            let name = source.map_or("", String::as_str);
            line.push_str(name);
            line.push_str(&" ".repeat(left - width(name)));
            line.push_str(if source.is_some() { " ──▶ " } else { "     " });
        }
        line.push_str(&sides(POD, i, lines));
        if has_gateway {
            line.push_str(if i == 1 { " ──▶ " } else { "     " });
            line.push_str(&sides(GATEWAY, i, lines));
        }
        if let Some(target) = target {
            let arrow =
                if matches!(instance.way, Way::Nowhere) { " ──✕ " } else { " ──▶ " };
            line.push_str(&format!("{arrow}{target}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let indent = " ".repeat(2 + if left > 0 { left + 5 } else { 0 });
    text.push_str(&format!("{indent}on {} (internal)", instance.network));
    match &instance.way {
        Way::Nowhere => {}
        Way::Allowed(network, _) => text.push_str(&format!(", the gateway also on {network}")),
        Way::Anywhere(network) => text.push_str(&format!(" and {network} (a way out)")),
    }
    text.push('\n');
}

/// Line `i` of a box that is stretched to a number of lines.
fn sides(of: [&str; 3], i: usize, lines: usize) -> String {
    match i {
        0 => of[0].to_owned(),
        1 => of[1].to_owned(),
        _ if i + 1 == lines => of[2].to_owned(),
        _ => format!("│{}│", " ".repeat(width(of[0]) - 2)),
    }
}
