//! The drawing as SVG, readable on a light and on a dark page.

use super::{Drawn, LEGEND, Way, width};

/// The width of a column of the font, and the height of a line, in pixels.
const COLUMN: usize = 8;
const LINE: usize = 22;
const PAD: usize = 12;
/// Between the columns of the drawing: room for an arrow.
const GAP: usize = 56;

const STYLE: &str = "\
  <style>
    .page { fill: #ffffff }
    .net { fill: #eef4fb; stroke: #7a9cc6; stroke-dasharray: 5 4 }
    .pod { fill: #d9e6f5; stroke: #38506e; stroke-width: 1.5 }
    .box { fill: #ffffff; stroke: #38506e; stroke-width: 1.5 }
    .gate { fill: #fff6e5; stroke: #b7791f; stroke-width: 1.5 }
    .way { stroke: #38506e; stroke-width: 1.5; fill: none }
    .tip { fill: #38506e }
    .cut { stroke: #b42318; stroke-width: 2 }
    text { font: 13px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2937 }
    .title { font-weight: bold; font-size: 15px }
    .dim { fill: #5b6b80; font-size: 11px }
    @media (prefers-color-scheme: dark) {
      .page { fill: #12161c }
      .net { fill: #18222e; stroke: #55749b }
      .pod { fill: #22354a; stroke: #9db4d0 }
      .box { fill: #12161c; stroke: #9db4d0 }
      .gate { fill: #33290f; stroke: #e0a93f }
      .way { stroke: #9db4d0 }
      .tip { fill: #9db4d0 }
      .cut { stroke: #ff7b72 }
      text { fill: #e6edf3 }
      .dim { fill: #93a4b8 }
    }
  </style>
  <defs>
    <marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" \
markerHeight=\"8\" orient=\"auto\"><path class=\"tip\" d=\"M0 0 L10 5 L0 10 z\"/></marker>
  </defs>
";

/// Instances one below the other, as an SVG document.
#[must_use]
pub fn svg(instances: &[Drawn]) -> String {
    let columns = Columns::of(instances);
    let mut body = String::new();
    let mut y = PAD;
    for instance in instances {
        y = one(&mut body, &columns, instance, y) + LINE;
    }
    for line in LEGEND {
        label(&mut body, PAD, y + LINE / 2, "dim", line);
        y += LINE - 4;
    }
    let (w, h) = (columns.width(), y + PAD);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} \
         {h}\" role=\"img\">\n  <title>Who may reach whom</title>\n{STYLE}  <rect class=\"page\" \
         width=\"{w}\" height=\"{h}\"/>\n{body}</svg>\n"
    )
}

/// Where the columns begin, from left to right; the same for all instances.
struct Columns {
    /// The frame of the internal network.
    net: usize,
    net_width: usize,
    gate: usize,
    targets: usize,
    targets_width: usize,
    legend: usize,
}

const GATE_WIDTH: usize = 10 * COLUMN;
const POD_WIDTH: usize = 34 * COLUMN;

impl Columns {
    fn of(instances: &[Drawn]) -> Self {
        let most = |of: &dyn Fn(&Drawn) -> usize| instances.iter().map(of).max().unwrap_or(0);
        let sources = most(&|i| i.sources.iter().map(|s| width(s)).max().unwrap_or(0));
        let targets = most(&|i| i.targets().iter().map(|t| width(t)).max().unwrap_or(0));
        // The frame has the network's name in it, which is smaller, and the pod.
        let net_width = (most(&|i| width(&networks(i))) * 7).max(POD_WIDTH) + 2 * PAD;
        let has_gate = instances.iter().any(|i| matches!(i.way, Way::Allowed(..)));
        let net = PAD + if sources > 0 { sources * COLUMN + 2 * PAD + GAP } else { 0 };
        let gate = net + net_width + GAP;
        let gate_name = most(&|i| match &i.way {
            Way::Allowed(network, _) => width(network) * 7,
            _ => 0,
        });
        let targets_at =
            if has_gate { gate + GATE_WIDTH.max(gate_name) + GAP } else { net + net_width + GAP };
        let legend = LEGEND.iter().map(|l| width(l) * 7).max().unwrap_or(0);
        Self {
            net,
            net_width,
            gate,
            targets: targets_at,
            targets_width: targets * COLUMN + 2 * PAD,
            legend,
        }
    }

    fn width(&self) -> usize {
        (self.targets + self.targets_width).max(self.legend) + PAD
    }
}

/// The networks that a pod is on.
fn networks(instance: &Drawn) -> String {
    match &instance.way {
        Way::Anywhere(network) => format!("{} (internal) and {network}", instance.network),
        _ => format!("{} (internal)", instance.network),
    }
}

/// Draws one instance from `y` down; gives where it ends.
fn one(body: &mut String, columns: &Columns, instance: &Drawn, y: usize) -> usize {
    let targets = instance.targets();
    let rows = instance.sources.len().max(targets.len()).max(1);
    let top = y + LINE;
    // The frame: the network's name, the pod with its two containers, the sources beside it.
    let height = (rows * (LINE + 8)).max(2 * LINE) + 2 * PAD + LINE;
    let middle = top + LINE + (height - LINE) / 2;
    let engine = format!("{} ({})", instance.name, instance.engine);
    label(body, columns.net, y + LINE / 2 + 4, "title", &engine);
    rect(body, "net", columns.net, top, columns.net_width, height);
    label(body, columns.net + PAD, top + 16, "dim", &networks(instance));

    let pod = columns.net + (columns.net_width - POD_WIDTH) / 2;
    rect(body, "pod", pod, middle - LINE, POD_WIDTH, 2 * LINE);
    let (app, database) = (pod + PAD, pod + POD_WIDTH - PAD - 12 * COLUMN);
    boxed(body, "box", app, middle, 9 * COLUMN, "app");
    boxed(body, "box", database, middle, 12 * COLUMN, "postgres");
    arrow(body, app + 9 * COLUMN, middle, database, middle);

    let span = rows_at(instance.sources.len(), middle);
    for (source, at) in instance.sources.iter().zip(span) {
        let wide = width(source) * COLUMN + 2 * PAD;
        boxed(body, "box", columns.net - GAP - wide, at, wide, source);
        arrow(body, columns.net - GAP, at, app, middle);
    }
    // The pod as a whole has the network: the way out is the database's, too.
    let edge = pod + POD_WIDTH;
    let from = match &instance.way {
        Way::Allowed(network, _) => {
            arrow(body, edge, middle, columns.gate, middle);
            boxed(body, "gate", columns.gate, middle, GATE_WIDTH, "egress");
            label(body, columns.gate, middle + LINE + 12, "dim", network);
            columns.gate + GATE_WIDTH
        }
        Way::Anywhere(_) | Way::Nowhere => edge,
    };
    for (target, at) in targets.iter().zip(rows_at(targets.len(), middle)) {
        if matches!(instance.way, Way::Nowhere) {
            cut(body, from, at);
            label(body, columns.gate, at + 5, "dim", target);
        } else {
            boxed(body, "box", columns.targets, at, width(target) * COLUMN + 2 * PAD, target);
            arrow(body, from, middle, columns.targets, at);
        }
    }
    top + height
}

/// The heights of so many boxes around a middle.
fn rows_at(count: usize, middle: usize) -> impl Iterator<Item = usize> {
    let step = LINE + 8;
    let first = middle - count.saturating_sub(1) * step / 2;
    (0..count).map(move |i| first + i * step)
}

fn rect(body: &mut String, class: &str, x: usize, y: usize, w: usize, h: usize) {
    body.push_str(&format!(
        "  <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"6\"/>\n"
    ));
}

/// A box of one line around `middle`.
fn boxed(body: &mut String, class: &str, x: usize, middle: usize, w: usize, text: &str) {
    rect(body, class, x, middle - LINE / 2, w, LINE);
    label(body, x + PAD, middle + 5, "", text);
}

fn label(body: &mut String, x: usize, y: usize, class: &str, text: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    body.push_str(&format!("  <text{class} x=\"{x}\" y=\"{y}\">{}</text>\n", escape(text)));
}

fn arrow(body: &mut String, x1: usize, y1: usize, x2: usize, y2: usize) {
    body.push_str(&format!(
        "  <path class=\"way\" d=\"M{x1} {y1} L{} {y2}\" marker-end=\"url(#tip)\"/>\n",
        x2 - 2
    ));
}

/// A way that ends in a cross.
fn cut(body: &mut String, x: usize, y: usize) {
    let end = x + GAP / 2;
    body.push_str(&format!("  <path class=\"way\" d=\"M{x} {y} L{end} {y}\"/>\n"));
    let (left, right, top, below) = (end - 5, end + 5, y - 5, y + 5);
    body.push_str(&format!(
        "  <path class=\"cut\" d=\"M{left} {top} L{right} {below} M{left} {below} L{right} \
         {top}\"/>\n"
    ));
}

/// A text as the content of an element. What XML has no characters for is shown as U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}
