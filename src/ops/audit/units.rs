//! What is installed and loaded, against the manifest.

use super::drop_ins::{Effect, Setting, settings};
use super::facts::Facts;
use super::verdict::{Verdict, skip};
use crate::host::{Check, Status};

/// The installed units are what the manifest gives.
pub(super) fn units_match(facts: &Facts) -> Check {
    const ID: &str = "units-match";
    if !facts.units.installed {
        return skip(ID, format!("{} is not installed", facts.name));
    }
    match &facts.units.changes {
        Ok(changes) if changes.is_empty() => {
            Check::new(ID, Status::Pass, "the installed units are what the manifest gives")
        }
        Ok(changes) => {
            let detail = format!("not what the manifest gives: {}", changes.join(", "));
            Check::new(ID, Status::Fail, detail).fix(format!(
                "see how they differ: ragpod diff {0}; make them what they should be: ragpod up {0}",
                facts.name
            ))
        }
        Err(e) => Check::new(ID, Status::Fail, e.to_string()).fix(e.hints().join("; ")),
    }
}

/// systemd runs what was installed.
pub(super) fn units_loaded(facts: &Facts) -> Check {
    const ID: &str = "units-loaded";
    if !facts.units.installed {
        return skip(ID, format!("{} is not installed", facts.name));
    }
    match &facts.units.loaded {
        Err(e) => Check::new(ID, Status::Fail, e.to_string()).fix(e.hints().join("; ")),
        Ok(_) if !facts.units.unread.is_empty() => Check::new(
            ID,
            Status::Warn,
            format!("changed since systemd read them: {}", facts.units.unread.join(", ")),
        )
        .fix("systemctl --user daemon-reload"),
        Ok(props) => {
            let detail = format!("systemd has {} units, all made from ours", props.len());
            Check::new(ID, Status::Pass, detail)
        }
    }
}

/// No drop-in weakens a unit.
pub(super) fn drop_ins(facts: &Facts) -> Check {
    const ID: &str = "drop-ins";
    let mut v = Verdict::default();
    let mut weak = Vec::new();
    for d in &facts.units.drop_ins {
        let Some(text) = &d.text else {
            v.see(Status::Skip, format!("{} cannot be read", d.path));
            continue;
        };
        let Some(part) = d.part else {
            v.see(Status::Warn, format!("{} changes a unit that is not there", d.path));
            continue;
        };
        let (weakening, harmless): (Vec<Setting>, Vec<Setting>) =
            settings(text, part, facts).into_iter().partition(|s| s.effect == Effect::Weakens);
        if !weakening.is_empty() {
            v.see(Status::Fail, format!("{}: {}", d.path, shown(&weakening)));
            weak.push(d.path.clone());
        }
        // What comes with the operating system is for all services, and not about isolation.
        if !harmless.is_empty() && !d.path.starts_with("/usr/") {
            v.see(Status::Warn, format!("{}: {}", d.path, shown(&harmless)));
        }
    }
    let check = v.check(ID, "none is in effect");
    match weak.first() {
        Some(path) => check.fix(format!(
            "if you do not need it: rm {path}; systemctl --user daemon-reload; ragpod restart {}",
            facts.name
        )),
        None => check,
    }
}

fn shown(settings: &[Setting]) -> String {
    settings.iter().map(|s| s.shown.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::facts::DropIn;
    use super::super::tests::facts;
    use super::*;
    use crate::error::Error;
    use crate::model::Part;

    #[test]
    fn units() {
        let of = |change: fn(&mut Facts)| {
            let mut facts = facts("none");
            change(&mut facts);
            (units_match(&facts).status, units_loaded(&facts).status)
        };
        assert_eq!(of(|_| {}), (Status::Pass, Status::Pass));
        let gone = of(|f| f.units.installed = false);
        assert_eq!(gone, (Status::Skip, Status::Skip));
        let edited = of(|f| f.units.changes = Ok(vec!["update x.pod".into()]));
        assert_eq!(edited, (Status::Fail, Status::Pass));
        let unreadable = of(|f| f.units.changes = Err(Error::failed("no manifest")));
        assert_eq!(unreadable.0, Status::Fail);
        assert_eq!(of(|f| f.units.unread.push("x".into())).1, Status::Warn);
        assert_eq!(of(|f| f.units.loaded = Err(Error::failed("hidden"))).1, Status::Fail);
    }

    #[test]
    fn what_drop_ins_do() {
        let of = |path: &str, text: Option<&str>, part| {
            let mut facts = facts("none");
            let text = text.map(str::to_owned);
            facts.units.drop_ins = vec![DropIn { path: path.into(), text, part }];
            drop_ins(&facts)
        };
        let app = Some(Part::App);
        assert_eq!(drop_ins(&facts("none")).status, Status::Pass);
        let weak = of("/h/x.conf", Some("[Container]\nReadOnly=false\n"), app);
        assert_eq!(weak.status, Status::Fail);
        assert_eq!(weak.detail, "/h/x.conf: ReadOnly=false");
        assert!(weak.fix.unwrap().contains("ragpod restart a"));
        let memory = Some("[Service]\nMemoryMax=1G\n");
        assert_eq!(of("/h/x.conf", memory, app).status, Status::Warn);
        assert_eq!(of("/usr/lib/x.conf", memory, app).status, Status::Pass);
        assert_eq!(of("/h/x.conf", Some("# nothing\n"), app).status, Status::Pass);
        assert_eq!(of("/h/x.conf", memory, None).status, Status::Warn);
        assert_eq!(of("/h/x.conf", None, app).status, Status::Skip);
    }
}
