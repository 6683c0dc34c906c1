use super::super::facts::{Answers, Lookup, Other};
use super::super::tests::{facts, tried};
use super::*;
use crate::podman::Attachment;

fn app(mode: &'static str, change: impl FnOnce(&mut Answers)) -> Facts {
    let mut facts = facts(mode);
    change(facts.app.as_mut().unwrap());
    facts
}

#[test]
fn modes() {
    let pass = egress_mode(&facts("none"));
    assert_eq!((pass.status, &pass.detail[..5]), (Status::Pass, "none:"));
    assert_eq!(egress_mode(&facts("allow")).status, Status::Pass);
    assert_eq!(egress_mode(&facts("open")).status, Status::Warn);
    let route = app("none", |a| a.routes.push("eth1 (IPv4)".into()));
    assert!(egress_mode(&route).detail.contains("eth1"));
    for part in [Part::Pod, Part::Egress] {
        let mut more = facts("allow");
        let networks = &mut more.containers.get_mut(&part).unwrap().network_settings.networks;
        networks.insert("podman".into(), Attachment::default());
        let check = egress_mode(&more);
        assert_eq!(check.status, Status::Fail, "{part:?}");
        assert!(check.detail.contains("network podman"), "{}", check.detail);
    }
}

#[test]
fn public_addresses() {
    let of = |mode, outcome, route: bool| {
        public_address(&app(mode, |a| {
            a.tcp.push(tried("1.1.1.1", 443, outcome));
            a.routes.extend(route.then(|| "eth1".to_owned()));
        }))
        .status
    };
    assert_eq!(of("none", Outcome::Unreachable, false), Status::Pass);
    assert_eq!(of("none", Outcome::Timeout, false), Status::Pass);
    assert_eq!(of("none", Outcome::Connected, true), Status::Fail);
    assert_eq!(of("none", Outcome::Refused, true), Status::Fail);
    assert_eq!(of("none", Outcome::Timeout, true), Status::Skip);
    assert_eq!(of("open", Outcome::Connected, true), Status::Warn);
    assert_eq!(of("open", Outcome::Unreachable, true), Status::Warn);
}

#[test]
fn outside_names() {
    let of = |mode, rcode, answers, error: Option<&str>| {
        outside_name(&app(mode, |a| {
            a.lookups.push(Lookup {
                name: "example.com".into(),
                server: "10.89.0.1".into(),
                rcode,
                answers,
                error: error.map(str::to_owned),
            });
        }))
        .status
    };
    assert_eq!(of("none", Some(3), 0, None), Status::Pass);
    assert_eq!(of("none", Some(5), 0, None), Status::Pass);
    assert_eq!(of("none", Some(0), 2, None), Status::Fail);
    assert_eq!(of("open", Some(0), 2, None), Status::Warn);
    assert_eq!(of("none", Some(2), 0, None), Status::Skip);
    assert_eq!(of("none", None, 0, Some("no answer")), Status::Skip);
}

#[test]
fn services_of_the_host() {
    let hosts = ["169.254.1.2".to_owned()];
    let of = |mode, outcome, token| {
        let facts = app(mode, |a| {
            a.tcp.push(Connection { token, ..tried("169.254.1.2", 40000, outcome) });
        });
        host_services(&facts, &hosts).status
    };
    assert_eq!(of("none", Outcome::Unreachable, false), Status::Pass);
    assert_eq!(of("none", Outcome::Connected, true), Status::Fail);
    assert_eq!(of("open", Outcome::Connected, true), Status::Warn);
    assert_eq!(of("none", Outcome::Connected, false), Status::Warn);
    let mut deaf = facts("none");
    deaf.listener = Err("cannot listen on this host: in use".into());
    assert_eq!(host_services(&deaf, &hosts).status, Status::Skip);
}

#[test]
fn other_instances() {
    let of = |outcome| {
        let mut facts = app("allow", |a| {
            a.tcp.push(tried("10.89.9.2", POSTGRES_PORT, outcome));
            a.tcp.push(tried("10.89.9.3", GATEWAY_PORT, outcome));
        });
        let none = tried("10.89.9.2", POSTGRES_PORT, Outcome::Timeout);
        facts.gateway = Ok(vec![none]);
        (other_database(&facts).status, other_gateway(&facts).status)
    };
    assert_eq!(of(Outcome::Unreachable), (Status::Pass, Status::Pass));
    assert_eq!(of(Outcome::Unresolved), (Status::Pass, Status::Pass));
    assert_eq!(of(Outcome::Connected), (Status::Fail, Status::Fail));
    assert_eq!(of(Outcome::Refused), (Status::Warn, Status::Warn));
    let mut through = app("allow", |_| {});
    through.gateway = Ok(vec![tried("10.89.9.2", POSTGRES_PORT, Outcome::Connected)]);
    let check = other_database(&through);
    assert_eq!(check.status, Status::Fail);
    assert!(check.detail.starts_with("egress connects to 10.89.9.2:5432"), "{}", check.detail);
    let mut alone = facts("none");
    alone.others = vec![Other::default()];
    assert_eq!(other_gateway(&alone).status, Status::Skip);
    alone.others.clear();
    assert_eq!(other_database(&alone).status, Status::Skip);
}

#[test]
fn the_database_is_on_the_loopback() {
    let own = ["10.89.0.2".to_owned()];
    let of = |outcome| {
        let facts = app("none", |a| a.tcp.push(tried("10.89.0.2", POSTGRES_PORT, outcome)));
        database_loopback(&facts, &own).status
    };
    assert_eq!(of(Outcome::Refused), Status::Pass);
    assert_eq!(of(Outcome::Connected), Status::Fail);
    assert_eq!(database_loopback(&facts("none"), &[]).status, Status::Skip);
    let mut through = app("allow", |a| {
        a.tcp.push(tried("10.89.0.2", POSTGRES_PORT, Outcome::Refused));
    });
    through.gateway = Ok(vec![tried("10.89.0.2", POSTGRES_PORT, Outcome::Connected)]);
    assert_eq!(database_loopback(&through, &own).status, Status::Fail);
}
