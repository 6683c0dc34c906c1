//! Live progress: one spinner per service and a bar for long steps on a terminal, plain lines
//! elsewhere. All of it on standard error.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use owo_colors::OwoColorize;

use crate::ops::progress::{Phase, Progress};
use crate::output::Printer;

/// Shows an operation's progress through a printer.
pub struct Live<'a> {
    printer: &'a Printer,
    bars: RefCell<MultiProgress>,
    step: RefCell<Option<ProgressBar>>,
    bar: RefCell<Option<ProgressBar>>,
    services: RefCell<BTreeMap<String, Line>>,
}

struct Line {
    bar: Option<ProgressBar>,
    state: String,
    finished: bool,
}

impl<'a> Live<'a> {
    /// Progress for one operation.
    #[must_use]
    pub fn new(printer: &'a Printer) -> Self {
        Self {
            printer,
            bars: RefCell::default(),
            step: RefCell::default(),
            bar: RefCell::default(),
            services: RefCell::default(),
        }
    }

    fn spinner(&self, what: String) -> ProgressBar {
        let bar = self.bars.borrow().add(ProgressBar::new_spinner().with_prefix(what));
        // `wide_msg` is cut to the terminal's width.
        let template = if self.printer.colour() {
            "{spinner} {prefix}  {wide_msg:.dim}"
        } else {
            "{spinner} {prefix}  {wide_msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn end_step(&self) {
        for bar in [self.step.take(), self.bar.take()].into_iter().flatten() {
            bar.disable_steady_tick();
            bar.finish_and_clear();
            // One that is only cleared can leave its last line on the screen.
            self.bars.borrow().remove(&bar);
        }
    }

    /// Leaves finished services on the screen for good, so that what comes next stands below them.
    fn settle(&self) {
        if self.services.borrow().values().all(|line| line.finished) {
            self.services.take();
            self.bars.take();
        }
    }

    /// Prints a line without breaking the bars.
    fn say(&self, line: &str) {
        if self.printer.live {
            self.bars.borrow().suspend(|| self.printer.say(line));
        } else {
            self.printer.say(line);
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.end_step();
        for line in self.services.take().into_values() {
            if let Some(bar) = line.bar.filter(|_| !line.finished) {
                bar.abandon();
            }
        }
    }
}

impl Progress for Live<'_> {
    fn step(&self, text: &str) {
        self.end_step();
        if self.printer.live {
            *self.step.borrow_mut() = Some(self.spinner(text.to_owned()));
        } else {
            self.say(text);
        }
    }

    fn output(&self, line: &str) {
        if self.printer.verbose || !self.printer.live {
            self.say(&format!("  {line}"));
        } else if let Some(bar) = &*self.step.borrow() {
            bar.set_message(line.to_owned());
        }
    }

    fn service(&self, instance: &str, service: &str, phase: Phase, state: &str) {
        self.end_step();
        let key = format!("{instance} {service}");
        let mut services = self.services.borrow_mut();
        let known = services.get(&key);
        if known.is_some_and(|l| l.state == state && l.finished == (phase != Phase::Working)) {
            return;
        }
        let text = format!("{instance}  {service:<9} {state}");
        if !self.printer.live {
            self.printer.say(&text);
            let finished = phase != Phase::Working;
            services.insert(key, Line { bar: None, state: state.to_owned(), finished });
            return;
        }
        let line = services.entry(key).or_insert_with(|| Line {
            bar: Some(self.spinner(text.clone())),
            state: String::new(),
            finished: false,
        });
        state.clone_into(&mut line.state);
        let Some(bar) = &line.bar else { return };
        bar.set_prefix(text);
        let mark = match phase {
            Phase::Working => return,
            Phase::Done if self.printer.colour() => "✓".green().to_string(),
            Phase::Failed if self.printer.colour() => "✗".red().to_string(),
            Phase::Done => "✓".to_owned(),
            Phase::Failed => "✗".to_owned(),
        };
        line.finished = true;
        if let Ok(style) = ProgressStyle::with_template(&format!("{mark} {{prefix}}")) {
            bar.set_style(style);
        }
        bar.finish();
    }

    fn advance(&self, done: u64, total: u64, at: &str) {
        if !self.printer.live {
            // A line every ten per cent, so that a log shows life without filling up.
            let tenth = total.div_ceil(10).max(1);
            if done.is_multiple_of(tenth) || done == total {
                self.say(&format!("  {done}/{total} {at}"));
            }
            return;
        }
        self.at(done, total, at);
    }

    fn at(&self, done: u64, total: u64, what: &str) {
        if !self.printer.live {
            return;
        }
        let mut slot = self.bar.borrow_mut();
        let bar = slot.get_or_insert_with(|| {
            let bar = self.bars.borrow().add(ProgressBar::new(total));
            let template = "{bar:28} {pos}/{len} {rate} {eta} left  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // A terminal that is gone takes nothing more.
                    let _ = write!(out, "{:.1}/s", state.per_sec());
                };
                bar.set_style(style.with_key("rate", rate));
            }
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(what.to_owned());
    }

    fn done(&self, text: &str) {
        self.end_step();
        self.settle();
        self.say(text);
    }

    fn warn(&self, text: &str) {
        self.bars.borrow().suspend(|| self.printer.warn(text));
    }
}
