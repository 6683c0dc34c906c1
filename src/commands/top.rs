//! `top`: a table that renews itself, on a terminal; one round elsewhere.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{event, execute, queue};
use owo_colors::OwoColorize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Front;
use super::tables::{coloured, lines, or_dash, table};
use crate::cli::Top as Args;
use crate::error::{Error, Result};
use crate::ops::status::State;
use crate::ops::top::{Row, Sort, Top, sort};
use crate::output::human_bytes;

/// How long a single round looks: a share of the processor is one of some time.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn top(front: &Front<'_>, args: &Args) -> Result<ExitCode> {
    let ctx = front.quiet();
    let mut top = Top::new(ctx, &args.names).await?;
    let by = args.sort.into();
    let on_terminal = front.env.stdout_tty && front.env.stdin_tty;
    if on_terminal && !args.once && !front.printer.json {
        return live(front, top, by, args.interval).await;
    }
    top.round(ctx).await?;
    tokio::time::sleep(LOOK).await;
    let mut rows = top.round(ctx).await?;
    sort(&mut rows, by);
    if front.printer.json {
        front.printer.document(&json!({ "instances": rows }))?;
    } else {
        front.printer.data(&rows_text(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows_text(rows: &[Row]) -> String {
    let head = ["NAME", "STATE", "CPU%", "MEMORY", "DOCUMENTS", "QUERIES", "PER MIN"];
    let mut table = table(head, &[2, 3, 4, 5, 6]);
    for row in rows {
        table.add_row([
            row.name.clone(),
            coloured(row.state),
            or_dash(row.cpu_percent.map(|share| format!("{share:.1}"))),
            or_dash(row.memory_bytes.map(human_bytes)),
            or_dash(row.documents),
            or_dash(row.queries),
            or_dash(row.queries_per_minute.map(|rate| format!("{rate:.0}"))),
        ]);
    }
    lines(&table)
}

/// The terminal, taken over; given back however this ends.
struct Screen;

impl Screen {
    fn take() -> Result<Self> {
        let failed = |e: std::io::Error| Error::io("draw on", "the terminal", &e);
        enable_raw_mode().map_err(failed)?;
        let screen = Self;
        execute!(stdout(), EnterAlternateScreen, Hide).map_err(failed)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // When even that fails there is no terminal any more.
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// What a person wants.
enum Wish {
    Leave,
    Sort(Sort),
    Redraw,
}

async fn live(
    front: &Front<'_>,
    mut top: Top,
    mut by: Sort,
    interval: Duration,
) -> Result<ExitCode> {
    let stopped = |kind| signal(kind).map_err(|e| Error::io("listen for", "signals", &e));
    let (mut term, mut hangup) =
        (stopped(SignalKind::terminate())?, stopped(SignalKind::hangup())?);
    // A key's Ctrl-C comes as a key; this is somebody else's.
    let mut interrupt = stopped(SignalKind::interrupt())?;
    let screen = Screen::take()?;
    let mut wishes = listen();
    let mut rows = top.round(front.quiet()).await?;
    // The first round has no shares yet: the second comes soon.
    let mut next = tokio::time::Instant::now() + LOOK.min(interval);
    loop {
        sort(&mut rows, by);
        draw(front, &rows, by)?;
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                rows = top.round(front.quiet()).await?;
                next = tokio::time::Instant::now() + interval;
            }
            wish = wishes.recv() => match wish {
                Some(Wish::Sort(other)) => by = other,
                Some(Wish::Redraw) => {}
                Some(Wish::Leave) | None => break,
            },
            _ = term.recv() => break,
            _ = hangup.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    drop(screen);
    Ok(ExitCode::SUCCESS)
}

/// Reads keys on a thread of its own, which ends with the process.
fn listen() -> mpsc::UnboundedReceiver<Wish> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(wish) = wish(&event)
                && sender.send(wish).is_err()
            {
                break;
            }
        }
    });
    receiver
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Resize(..) => Some(Wish::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
            // A terminal in raw mode makes no signals.
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(Wish::Leave)
            }
            KeyCode::Char('c') => Some(Wish::Sort(Sort::Cpu)),
            KeyCode::Char('m') => Some(Wish::Sort(Sort::Memory)),
            KeyCode::Char('n') => Some(Wish::Sort(Sort::Name)),
            _ => None,
        },
        _ => None,
    }
}

fn draw(front: &Front<'_>, rows: &[Row], by: Sort) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("draw on", "the terminal", &e);
    // A terminal that does not say how large it is has the usual size.
    let (columns, height) = size().ok().filter(|(w, h)| *w > 0 && *h > 0).unwrap_or((80, 24));
    let running = rows.iter().filter(|row| row.state == State::Running).count();
    let key = |name: &str, is: Sort| {
        if by == is { name.bold().underline().to_string() } else { name.to_owned() }
    };
    let head = format!(
        "ragpod top: {running} of {} running   sort: {} {} {}   leave: q",
        rows.len(),
        key("c=cpu", Sort::Cpu),
        key("m=memory", Sort::Memory),
        key("n=name", Sort::Name),
    );
    queue!(stdout(), MoveTo(0, 0), Clear(ClearType::All)).map_err(failed)?;
    let mut text = String::new();
    let all = rows_text(rows);
    let shown = std::iter::once(head.as_str()).chain(std::iter::once("")).chain(all.lines());
    for (i, line) in shown.take(usize::from(height)).enumerate() {
        if i > 0 {
            text.push_str("\r\n");
        }
        text.push_str(&cut(line, usize::from(columns)));
    }
    front.printer.data(&text)?;
    stdout().flush().map_err(failed)
}

/// The first columns of a line with colours; one that wraps would push the others off the screen.
fn cut(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let (mut used, mut escape) = (0, false);
    for c in line.chars() {
        if escape {
            escape = c != 'm';
        } else if c == '\u{1b}' {
            escape = true;
        } else {
            used += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
            if used > columns {
                // Colours end here, too.
                out.push_str("\u{1b}[0m");
                return out;
            }
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_colours_end() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("\u{1b}[32mabcd\u{1b}[0m", 2), "\u{1b}[32mab\u{1b}[0m");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn a_round_as_text() {
        let row = |name: &str, state, cpu| Row {
            name: name.into(),
            state,
            cpu_percent: cpu,
            memory_bytes: cpu.map(|_| 300 << 20),
            documents: cpu.map(|_| 12),
            queries: cpu.map(|_| 345),
            queries_per_minute: cpu,
        };
        let rows = [row("notes", State::Running, Some(12.5)), row("work", State::Stopped, None)];
        let text = rows_text(&rows);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn keys() {
        let key = |code, modifiers| wish(&Event::Key(event::KeyEvent::new(code, modifiers)));
        let plain = KeyModifiers::NONE;
        assert!(matches!(key(KeyCode::Char('q'), plain), Some(Wish::Leave)));
        assert!(matches!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Leave)));
        assert!(matches!(key(KeyCode::Char('c'), plain), Some(Wish::Sort(Sort::Cpu))));
        assert!(matches!(key(KeyCode::Char('m'), plain), Some(Wish::Sort(Sort::Memory))));
        assert!(matches!(key(KeyCode::Char('n'), plain), Some(Wish::Sort(Sort::Name))));
        assert!(key(KeyCode::Char('x'), plain).is_none());
        assert!(matches!(wish(&Event::Resize(1, 1)), Some(Wish::Redraw)));
    }
}
