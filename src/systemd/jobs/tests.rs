use super::super::fake::{Script, State, systemd};
use super::*;

const SHORT: Duration = Duration::from_millis(60);

fn options() -> JobOptions {
    JobOptions {
        timeout: Duration::from_secs(5),
        poll: Duration::from_millis(10),
        ..JobOptions::default()
    }
}

fn results(report: &Report) -> Vec<(&str, &JobResult)> {
    report.outcomes.iter().map(|o| (o.service.as_str(), &o.result)).collect()
}

fn calls(state: &State) -> Vec<String> {
    state.lock().unwrap().calls.clone()
}

#[tokio::test]
async fn an_end_before_the_answer_is_not_missed() {
    let (client, state, _server) = systemd(&[
        ("a.service", Script::AtOnce("done")),
        ("b.service", Script::Later(SHORT, "done", "active")),
    ])
    .await;
    let mut events = Vec::new();
    let report = client
        .run(Action::Start, &["a.service", "b.service"], &options(), &mut |e| events.push(e))
        .await
        .unwrap();
    assert!(report.is_good(), "{report:?}");
    assert_eq!(
        calls(&state),
        ["subscribe", "reset a.service", "reset b.service", "start a.service", "start b.service"]
    );
    let of = |service: &str| -> Vec<Progress> {
        events.iter().filter(|e| e.service == service).map(|e| e.progress.clone()).collect()
    };
    assert_eq!(of("a.service"), [Progress::Queued, Progress::Finished(JobResult::Done)]);
    assert_eq!(
        of("b.service"),
        [
            Progress::Queued,
            Progress::State { active: "activating".into(), sub: "start".into() },
            Progress::Finished(JobResult::Done)
        ]
    );
}

#[tokio::test]
async fn a_failure_comes_before_its_consequences() {
    let (client, _state, _server) = systemd(&[
        ("app.service", Script::AtOnce("dependency")),
        ("db.service", Script::Later(SHORT, "failed", "failed")),
    ])
    .await;
    let report = client
        .run(Action::Start, &["app.service", "db.service"], &options(), &mut |_| {})
        .await
        .unwrap();
    assert_eq!(report.end, End::Complete);
    assert!(!report.is_good());
    let failures: Vec<&str> = report.failures().map(|o| o.service.as_str()).collect();
    assert_eq!(failures, ["db.service", "app.service"]);
    assert_eq!(report.outcomes[1].props.active_state, "failed");
}

#[tokio::test]
async fn out_of_time_the_rest_is_cancelled_and_named() {
    let (client, state, _server) =
        systemd(&[("a.service", Script::AtOnce("done")), ("b.service", Script::Never)]).await;
    let options = JobOptions { timeout: Duration::from_millis(200), ..options() };
    let report = client
        .run(Action::Start, &["a.service", "b.service"], &options, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(report.end, End::TimedOut);
    assert_eq!(
        results(&report),
        [("a.service", &JobResult::Done), ("b.service", &JobResult::Unfinished)]
    );
    assert_eq!(calls(&state).last().unwrap(), "cancel 2");
}

#[tokio::test]
async fn a_service_that_comes_up_at_the_second_try() {
    let (client, _state, _server) = systemd(&[("a.service", Script::Restarts(4))]).await;
    let mut events = Vec::new();
    let report = client
        .run(Action::Start, &["a.service"], &options(), &mut |e| events.push(e.progress))
        .await
        .unwrap();
    assert!(report.is_good() && report.outcomes[0].retried, "{report:?}");
    assert_eq!(
        events,
        [
            Progress::Queued,
            Progress::Finished(JobResult::Failed),
            Progress::Retrying,
            Progress::Finished(JobResult::Done)
        ]
    );
}

#[tokio::test]
async fn a_service_that_never_comes_up_is_not_waited_for() {
    let (client, _state, _server) = systemd(&[("a.service", Script::Loops)]).await;
    let report = client.run(Action::Start, &["a.service"], &options(), &mut |_| {}).await.unwrap();
    assert_eq!(report.end, End::Complete);
    assert_eq!(results(&report), [("a.service", &JobResult::Failed)]);
}

#[tokio::test]
async fn a_unit_that_does_not_exist_takes_the_others_back() {
    let (client, state, _server) = systemd(&[("a.service", Script::Never)]).await;
    let e = client
        .run(Action::Start, &["a.service", "nobody.service"], &options(), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(e.kind, Kind::Unit);
    assert!(e.to_string().contains("Unit nobody.service not found."), "{e}");
    assert_eq!(calls(&state).last().unwrap(), "cancel 1");
}

#[tokio::test]
async fn a_bus_that_drops_is_an_error_at_once() {
    let (client, _state, server) = systemd(&[("a.service", Script::Never)]).await;
    let hang_up = async {
        tokio::time::sleep(SHORT).await;
        server.close().await.unwrap();
    };
    let started = std::time::Instant::now();
    let options = options();
    let mut ignore = |_| {};
    let run = client.run(Action::Start, &["a.service"], &options, &mut ignore);
    let (result, ()) = tokio::join!(run, hang_up);
    let e = result.unwrap_err();
    assert_eq!(e.kind, Kind::Host);
    assert!(e.to_string().contains("lost"), "{e}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn more_signals_than_the_queue_holds() {
    let names: Vec<String> = (0..200).map(|i| format!("u{i}.service")).collect();
    let units: Vec<(&str, Script)> =
        names.iter().map(|n| (n.as_str(), Script::AtOnce("done"))).collect();
    let (client, _state, _server) = systemd(&units).await;
    let report = client.run(Action::Stop, &names, &options(), &mut |_| {}).await.unwrap();
    assert!(report.is_good());
}

#[tokio::test]
async fn calls_that_are_answered_at_once() {
    let (client, _state, _server) =
        systemd(&[("a.service", Script::Never), ("stuck", Script::Never)]).await;
    let missing = client.not_loaded(&["a.service", "b.service"]).await.unwrap();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].name.as_str(), missing[0].load.as_str()), ("b.service", "not-found"));
    assert_eq!(client.variable("XDG_CONFIG_HOME").await.unwrap().as_deref(), Some("/h/=c"));
    assert_eq!(client.properties("a.service").await.unwrap().memory_current, None);
    assert_eq!(client.need_reload(&["a.service"]).await.unwrap(), ["a.service"]);
    let e = client.reload(SHORT).await.unwrap_err();
    assert_eq!(e.kind, Kind::Host);
    assert!(e.message.contains("did not reload"), "{e}");
}

#[tokio::test]
async fn an_interruption_ends_the_waiting_and_nothing_else() {
    for signal in [nix::sys::signal::SIGINT, nix::sys::signal::SIGTERM] {
        let (client, state, _server) = systemd(&[("a.service", Script::Never)]).await;
        let options = JobOptions { interruptible: true, ..options() };
        let mut ignore = |_| {};
        let run = client.run(Action::Start, &["a.service"], &options, &mut ignore);
        let press = async {
            // The handler is set when `run` is first polled.
            tokio::time::sleep(SHORT).await;
            nix::sys::signal::raise(signal).unwrap();
        };
        let (report, ()) = tokio::join!(run, press);
        let report = report.unwrap();
        assert_eq!(report.end, End::Interrupted);
        assert!(!calls(&state).iter().any(|c| c.starts_with("cancel")), "{:?}", calls(&state));
    }
}
