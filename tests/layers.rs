//! The layers below `ops` on a real host: the user's systemd, Podman and its generator.
//!
//! They change the user's units and containers, so they run in the test host (`tests/check` puts
//! the built test there), with the image of `RAGPOD_TEST_IMAGE` (a Debian with coreutils) at hand.
//! Each uses an instance name of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ragpod::env::Env;
use ragpod::error::Kind;
use ragpod::host::Records;
use ragpod::install::{Lock, Scope, UnitDir, plan};
use ragpod::journal;
use ragpod::model::{Name, Part};
use ragpod::podman::Podman;
use ragpod::podman::quadlet::Generator;
use ragpod::systemd::{
    Action, End, JobOptions, JobResult, Progress, Report, Systemd, block_on, check_loaded,
};

const SOON: Duration = Duration::from_secs(60);

fn image() -> String {
    std::env::var("RAGPOD_TEST_IMAGE").unwrap_or("localhost/ragpod-test/base:trixie".to_owned())
}

/// An instance made of a few bare units; gone again when dropped.
struct Instance {
    name: Name,
    env: Env,
    dir: UnitDir,
}

impl Instance {
    fn new(name: &str) -> Self {
        let env = Env::from_process().unwrap();
        let dir = UnitDir::new(&env);
        Self { name: name.parse().unwrap(), env, dir }
    }

    fn install(&self, units: &[(Part, String)]) -> ragpod::error::Result<()> {
        let wanted: BTreeMap<String, String> =
            units.iter().map(|(part, text)| (part.file(&self.name), text.clone())).collect();
        let lock = Lock::take(&self.env.state(), Scope::Units, "a test", SOON, &mut |_| {})?;
        let plan = plan(&self.name, &wanted, &self.dir.read()?)?;
        let generator = Generator::find()?;
        self.dir.apply(
            &lock,
            &plan,
            |staged| generator.check(staged, &self.name, &plan.result()).map(drop),
            &mut |_| {},
        )
    }

    fn services(&self, parts: &[Part]) -> Vec<String> {
        parts.iter().map(|p| p.service(&self.name)).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let gone = block_on(async {
            let systemd = Systemd::connect(&self.env).await?;
            let pattern = format!("{}-*.service", self.name.stem());
            let there: Vec<String> =
                systemd.units(&[&pattern]).await?.into_iter().map(|u| u.name).collect();
            let _ = systemd.run(Action::Stop, &there, &JobOptions::default(), &mut |_| {}).await;
            self.install(&[])?;
            systemd.reload(SOON).await?;
            systemd.reset_failed(&there).await
        });
        let left = Podman::new().remove_leftovers(&self.name);
        if !std::thread::panicking() {
            gone.unwrap();
            left.unwrap();
            assert!(self.dir.read().unwrap().of(&self.name).is_empty());
        }
    }
}

/// A container that runs `command`; `more` is more of its unit.
fn container(instance: &Instance, part: Part, command: &str, more: &str) -> (Part, String) {
    let name = part.podman_name(&instance.name);
    let label = &instance.name;
    let image = image();
    let text = format!(
        "[Unit]\n{more}\n[Container]\nContainerName={name}\nImage={image}\nPull=never\nNetwork=none\n\
         Label=io.ragpod.instance={label}\nRunInit=true\nExec=sh -c \"{command}\"\n\
         [Quadlet]\nDefaultDependencies=false\n"
    );
    (part, text)
}

async fn start(
    systemd: &Systemd,
    services: &[String],
    timeout: Duration,
) -> (Report, Vec<(String, Progress)>) {
    let mut events = Vec::new();
    let options = JobOptions { timeout, ..JobOptions::default() };
    let report = systemd
        .run(Action::Start, services, &options, &mut |e| events.push((e.service, e.progress)))
        .await
        .unwrap();
    (report, events)
}

#[test]
fn connecting_and_listing_is_quick() {
    let env = Env::from_process().unwrap();
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let started = Instant::now();
            block_on(async {
                let systemd = Systemd::connect(&env).await?;
                systemd.units(&[Name::SERVICES]).await
            })
            .unwrap();
            started.elapsed()
        })
        .collect();
    times.sort();
    eprintln!("connect + units: median {:?}, worst {:?}", times[7], times[14]);
    block_on(async {
        let systemd = Systemd::connect(&env).await?;
        let services: Vec<String> =
            systemd.units(&["*.service"]).await?.into_iter().map(|u| u.name).collect();
        let started = Instant::now();
        let all = systemd.properties_of(&services).await?;
        eprintln!("properties of {}: {:?}", all.len(), started.elapsed());
        assert_eq!(systemd.variable("HOME").await?.as_deref(), Some(env.home.as_str()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn installed_started_and_taken_off() {
    let instance = Instance::new("layers-ok");
    let services = instance.services(&[Part::EngineVolume, Part::App]);
    let volume = Part::EngineVolume.podman_name(&instance.name);
    instance
        .install(&[
            (
                Part::EngineVolume,
                format!("[Volume]\nVolumeName={volume}\n[Quadlet]\nDefaultDependencies=false\n"),
            ),
            container(&instance, Part::App, "exec sleep infinity", ""),
        ])
        .unwrap();
    block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        assert_eq!(systemd.not_loaded(&services).await?.len(), 2);
        systemd.reload(SOON).await?;
        assert!(systemd.not_loaded(&services).await?.is_empty());
        check_loaded(&systemd.properties_of(&services).await?, instance.dir.path())?;
        let (report, events) = start(&systemd, &services, SOON).await;
        assert!(report.is_good(), "{report:#?}");
        eprintln!("{events:#?}");
        let app = &report.outcomes[1].props;
        assert!(app.is_active() && app.active_enter_timestamp.is_some(), "{app:#?}");
        assert!(app.source_path.ends_with("hybridrag-layers-ok-app.container"), "{app:#?}");
        let all = Podman::new().ps_all()?;
        let ours = all.iter().find(|c| c.instance() == Some("layers-ok")).unwrap();
        assert_eq!(
            (ours.names[0].as_str(), ours.state.as_str()),
            ("hybridrag-layers-ok-app", "running")
        );
        assert!(Podman::new().volume_mountpoint(&volume)?.is_some());
        // Again: nothing is done, and it is good.
        let (again, _) = start(&systemd, &services, SOON).await;
        assert!(again.is_good());
        assert_eq!(again.outcomes[1].props.active_enter_timestamp, app.active_enter_timestamp);
        let options = JobOptions::default();
        let stopped = systemd.run(Action::Stop, &services, &options, &mut |_| {}).await?;
        assert!(stopped.is_good(), "{stopped:#?}");
        assert!(!stopped.outcomes[1].props.is_active());
        Ok(())
    })
    .unwrap();
    Podman::new().volume_rm(&[&volume]).unwrap();
    assert_eq!(Podman::new().volume_mountpoint(&volume).unwrap(), None);
}

#[test]
fn a_missing_image_is_told_as_such() {
    let instance = Instance::new("layers-noimg");
    let (part, text) = container(&instance, Part::App, "true", "");
    instance.install(&[(part, text.replace(&image(), "localhost/nobody/has:this"))]).unwrap();
    let services = instance.services(&[Part::App]);
    let report = block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        systemd.reload(SOON).await?;
        Ok(start(&systemd, &services, SOON).await.0)
    })
    .unwrap();
    let failure = report.failures().next().unwrap();
    assert_eq!(failure.result, JobResult::Failed);
    let lines = journal::tail(&services[0], 20, None).unwrap();
    eprintln!("{lines:#?} {:?}", failure.props);
    let cause = journal::likely_cause(
        Part::App,
        &failure.props.result,
        failure.props.exec_main_status,
        &lines,
    );
    assert!(cause.as_ref().is_some_and(|c| c.cause.contains("image")), "{cause:?}");
}

#[test]
fn a_service_that_comes_up_at_the_second_try() {
    let instance = Instance::new("layers-retry");
    let volume = Part::EngineVolume.podman_name(&instance.name);
    let (part, text) = container(
        &instance,
        Part::Postgres,
        "test -e /v/x || { touch /v/x; exit 1; }; exec sleep infinity",
        "",
    );
    let text = text.replace(
        "RunInit=true\n",
        &format!(
            "RunInit=true\nVolume={volume}:/v\nNotify=healthy\nHealthCmd=test -e /v/x\nHealthStartupCmd=test -e /v/x\nHealthStartupInterval=1s\nHealthStartupRetries=30\n"
        ),
    ) + "[Service]\nRestart=on-failure\nRestartSec=1\n";
    instance.install(&[(part, text)]).unwrap();
    let services = instance.services(&[Part::Postgres]);
    let (report, events) = block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        systemd.reload(SOON).await?;
        Ok(start(&systemd, &services, SOON).await)
    })
    .unwrap();
    eprintln!("{events:#?}\n{report:#?}");
    assert!(report.is_good() && report.outcomes[0].retried);
    drop(instance);
    Podman::new().volume_rm(&[volume]).unwrap();
}

#[test]
fn dependencies_and_loops_that_never_succeed() {
    let instance = Instance::new("layers-loop");
    let needs = format!("Requires={0}\nAfter={0}", Part::Postgres.service(&instance.name));
    let (db, text) = container(&instance, Part::Postgres, "echo broken; exit 3", "");
    let text = text.replace("RunInit=true\n", "RunInit=true\nNotify=healthy\nHealthCmd=true\n")
        + "[Service]\nRestart=always\nRestartSec=100ms\n";
    instance
        .install(&[(db, text), container(&instance, Part::App, "exec sleep infinity", &needs)])
        .unwrap();
    let services = instance.services(&[Part::App, Part::Postgres]);
    let started = Instant::now();
    let (report, events) = block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        systemd.reload(SOON).await?;
        Ok(start(&systemd, &services, SOON).await)
    })
    .unwrap();
    eprintln!("{:?} {events:#?}\n{report:#?}", started.elapsed());
    assert_eq!(report.end, End::Complete);
    let failures: Vec<_> =
        report.failures().map(|o| (o.service.clone(), o.result.clone())).collect();
    assert_eq!(failures[0], (services[1].clone(), JobResult::Failed));
    assert_eq!(failures[1], (services[0].clone(), JobResult::Dependency));
}

#[test]
fn never_healthy_is_cancelled_in_time() {
    let instance = Instance::new("layers-slow");
    let (part, text) = container(&instance, Part::App, "exec sleep infinity", "");
    let text = text.replace(
        "RunInit=true\n",
        "RunInit=true\nNotify=healthy\nHealthCmd=false\nHealthInterval=1s\nHealthRetries=999\n",
    );
    instance.install(&[(part, text)]).unwrap();
    let services = instance.services(&[Part::App]);
    block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        systemd.reload(SOON).await?;
        let (report, _) = start(&systemd, &services, Duration::from_secs(4)).await;
        assert_eq!(report.end, End::TimedOut);
        assert_eq!(report.outcomes[0].result, JobResult::Unfinished);
        assert_eq!(report.outcomes[0].props.active_state, "activating");
        let unit = &systemd.named(&services).await?[0];
        assert_eq!(unit.job, None, "the job is cancelled");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_key_that_this_podman_does_not_know_changes_nothing() {
    let instance = Instance::new("layers-key");
    let (part, text) = container(&instance, Part::App, "true", "");
    let broken = text.replace("RunInit=true", "NoSuchKey=true");
    let e = instance.install(&[(part, broken)]).unwrap_err();
    assert!(e.to_string().contains("NoSuchKey"), "{e}");
    assert!(instance.dir.read().unwrap().of(&instance.name).is_empty());
    let systemd_error = block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        let services = instance.services(&[Part::App]);
        systemd.run(Action::Start, &services, &JobOptions::default(), &mut |_| {}).await
    })
    .unwrap_err();
    assert_eq!(systemd_error.kind, Kind::Unit);
    assert!(systemd_error.to_string().contains("not found"), "{systemd_error}");
}

#[test]
fn the_host_passes_its_own_checks() {
    let env = Env::from_process().unwrap();
    let facts = block_on(async {
        Ok(ragpod::host::Facts::gather(&env, &Podman::new(), &[], Records::default()).await)
    })
    .unwrap();
    for check in ragpod::host::checks(&facts) {
        eprintln!("{check:?}");
        assert!(check.status < ragpod::host::Status::Fail, "{check:?}");
    }
}

#[test]
fn secrets_and_leftovers() {
    let podman = Podman::new();
    let (a, b): (Name, Name) = ("layers-s".parse().unwrap(), "layers-s-b".parse().unwrap());
    let value = secrecy::SecretString::from("v4lue");
    for (name, secret) in [(&a, "hybridrag-layers-s.k.1"), (&b, "hybridrag-layers-s-b.k.1")] {
        podman.secret_rm(&[secret]).unwrap();
        assert!(!podman.secret_exists(secret).unwrap());
        podman.secret_create(name, secret, &value).unwrap();
        assert!(podman.secret_exists(secret).unwrap());
        let e = podman.secret_create(name, secret, &value).unwrap_err();
        assert!(!format!("{e:?}").contains("v4lue"), "{e:?}");
    }
    let names: Vec<String> = podman.secret_list(&a).unwrap().into_iter().collect();
    assert_eq!(names, ["hybridrag-layers-s.k.1"]);
    podman.secret_rm(&["hybridrag-layers-s.k.1", "hybridrag-layers-s-b.k.1"]).unwrap();
    let missing: Vec<ragpod::model::ImageRef> =
        vec![image().parse().unwrap(), "localhost/nobody/has:this".parse().unwrap()];
    assert_eq!(podman.missing_images(&missing).unwrap(), missing[1..]);
}

#[test]
fn a_unit_of_somebody_else_with_our_name_is_seen() {
    let instance = Instance::new("layers-hidden");
    let services = instance.services(&[Part::App]);
    let theirs = instance.env.config_home.join("systemd/user").join(&services[0]);
    std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    std::fs::write(&theirs, "[Service]\nExecStart=/bin/true\n").unwrap();
    instance.install(&[container(&instance, Part::App, "true", "")]).unwrap();
    let loaded = block_on(async {
        let systemd = Systemd::connect(&instance.env).await?;
        systemd.reload(SOON).await?;
        systemd.properties_of(&services).await
    });
    std::fs::remove_file(&theirs).unwrap();
    let e = check_loaded(&loaded.unwrap(), instance.dir.path()).unwrap_err();
    assert!(e.to_string().contains(theirs.as_str()), "{e}");
}

#[test]
fn a_pod_that_nobody_manages_is_removed() {
    let podman = Podman::new();
    let name: Name = "layers-left".parse().unwrap();
    let pod = Part::Pod.podman_name(&name);
    let network = Part::Network.podman_name(&name);
    let run = |args: &[&str]| {
        ragpod::exec::Cmd::new("podman").args(args.iter().copied()).stdout().unwrap();
    };
    run(&["network", "create", "--internal", &network]);
    run(&["pod", "create", "--network", &network, &pod]);
    let app = Part::App.podman_name(&name);
    run(&["run", "-d", "--pod", &pod, "--name", &app, &image(), "sleep", "infinity"]);
    let stray = ["run", "-d", "--network=none", "--label=io.ragpod.instance=layers-left"];
    run(&[&stray[..], &["--name=layers-stray", &image(), "sleep", "infinity"]].concat());
    let mut removed = podman.remove_leftovers(&name).unwrap();
    removed.sort();
    assert_eq!(removed, [pod.as_str(), &network, "layers-stray"]);
    for kind_and_name in [("pod", &pod), ("container", &app), ("network", &network)] {
        assert!(!podman.exists(kind_and_name.0, kind_and_name.1).unwrap(), "{kind_and_name:?}");
    }
}
