//! What must have become of a random manifest: in every part's command, each value as it was, and
//! nothing that would not be there with tame values.

use std::collections::BTreeMap;

use ragpod::model::Part;

use super::argv;
use super::random::Case;

/// What the value of every occurrence of an option is, written `--flag VALUE`.
pub fn values<'a>(argv: &'a [String], flag: &str) -> Vec<&'a str> {
    argv.windows(2).filter(|w| w[0] == flag).map(|w| w[1].as_str()).collect()
}

/// Fails unless the command that starts a part says everything that the case asked for.
pub fn arrived(case: &Case, part: Part, argv: &[String]) {
    let name = &case.name;
    let at = || format!("{part:?} of {case:#?}\n{argv:?}");
    let label = format!("io.ragpod.instance={name}");
    if part != Part::Pod {
        assert!(values(argv, "--label").contains(&label.as_str()), "no label: {}", at());
    }
    let last = argv.last().expect("words").as_str();
    match part {
        Part::App | Part::Postgres | Part::Egress => container(case, part, argv),
        Part::Network => assert_eq!(last, format!("hybridrag-{name}-network"), "{}", at()),
        Part::EgressNetwork => {
            assert_eq!(last, format!("hybridrag-{name}-egress-network"), "{}", at());
        }
        Part::PostgresVolume => assert_eq!(last, format!("hybridrag-{name}-postgres"), "{}", at()),
        Part::EngineVolume => assert_eq!(last, format!("hybridrag-{name}-engine"), "{}", at()),
        Part::Pod => {}
    }
    if part == Part::App {
        mounts(case, argv);
    }
}

/// The variables of the manifest that a container must see.
pub fn variables(case: &Case, part: Part) -> BTreeMap<String, String> {
    let mut wanted = BTreeMap::new();
    let mut set = |name: &str, value: &str| wanted.insert(name.to_owned(), value.to_owned());
    match part {
        Part::App => {
            set("RAGPOD_INSTANCE", &case.name);
            set("RAGPOD_PROVIDER", &case.kind);
            set("BATCH_SIZE", &case.batch_size.to_string());
            set("POSTGRES_DATABASE", &case.database);
            if let Some([llm, embedding]) = &case.models {
                set("LLM_MODEL", llm);
                set("EMBEDDING_MODEL", embedding);
            }
            if let Some(dim) = case.dim {
                set("EMBEDDING_DIM", &dim.to_string());
            }
            if let Some(key) = &case.api_key {
                set("API_KEY_FILE", &format!("/run/secrets/{key}"));
            }
            for (name, value) in [("API_BASE", &case.base_url), ("API_VERSION", &case.api_version)]
            {
                value.as_ref().map(|v| set(name, v));
            }
            for (name, value) in &case.env {
                set(name, value);
            }
        }
        Part::Egress => {
            set("EGRESS_ALLOW", &case.allow.join(" ").to_ascii_lowercase());
        }
        _ => {}
    }
    if matches!(part, Part::App | Part::Postgres) {
        set("POSTGRES_DB", &case.database);
        set("POSTGRES_USER", &case.user);
    }
    wanted
}

fn container(case: &Case, part: Part, argv: &[String]) {
    let at = || format!("{part:?} of {case:#?}\n{argv:?}");
    let env = values(argv, "--env");
    for (name, value) in variables(case, part) {
        let wanted = format!("{name}={value}");
        assert!(env.contains(&wanted.as_str()), "no {wanted:?}: {}", at());
    }
    let (own, image, uid) = match part {
        Part::App => ("engine:latest", &case.images[1], "1000:1000"),
        Part::Postgres => ("postgres:17", &case.images[0], "999:999"),
        _ => ("egress:latest", &None, "13:13"),
    };
    let image = image.clone().unwrap_or_else(|| format!("localhost/ragpod/{own}"));
    assert_eq!(argv.last(), Some(&image), "{}", at());
    let local = image.starts_with("localhost/");
    assert_eq!(values(argv, "--pull").contains(&"never"), local, "{}", at());
    // The rules, each but for the containers that it was relaxed for.
    let label = match part {
        Part::App => "app",
        Part::Postgres => "postgres",
        _ => "egress",
    };
    let relaxed = |rule: usize| case.hardening[rule].iter().any(|c| c == label);
    let has = |word: &str| argv.iter().any(|w| w == word);
    assert_eq!(has("--read-only"), !relaxed(0), "{}", at());
    assert_eq!(values(argv, "--cap-drop").contains(&"all"), !relaxed(1), "{}", at());
    assert_eq!(has("--security-opt=no-new-privileges"), !relaxed(2), "{}", at());
    let user = if relaxed(3) { "0:0" } else { uid };
    assert_eq!(values(argv, "--user"), [user], "{}", at());
    if part == Part::Postgres {
        let [health] = values(argv, "--health-cmd")[..] else { panic!("{}", at()) };
        let health: Vec<String> = serde_json::from_str(health).expect("a JSON array");
        assert_eq!(health[5..], [&case.database, "-U", &case.user], "{}", at());
    }
}

/// The folders of the host that the engine sees, in the order of the manifest.
fn mounts(case: &Case, argv: &[String]) {
    let seen: Vec<Vec<String>> = values(argv, "--mount")
        .into_iter()
        .map(|m| argv::of_csv(m).unwrap_or_else(|| panic!("no record: {m:?} of {case:#?}")))
        .collect();
    let ca = case.ca_file.iter().map(|ca| (ca, Some("/etc/ragpod/ca.pem".to_owned())));
    let wanted = case.sources.iter().enumerate().map(|(i, source)| {
        let destination = match (i, &source.name) {
            (0, _) => Some("/data/projects".to_owned()),
            (_, Some(name)) => Some(format!("/data/sources/{name}")),
            (_, None) => None,
        };
        (&source.path, destination)
    });
    let wanted: Vec<_> = wanted.chain(ca).collect();
    assert_eq!(seen.len(), wanted.len(), "{seen:?} of {case:#?}");
    for (seen, (path, destination)) in seen.iter().zip(&wanted) {
        let [kind, source, to, ro] = &seen[..] else { panic!("{seen:?} of {case:#?}") };
        assert_eq!((kind.as_str(), ro.as_str()), ("type=bind", "ro=true"), "{case:#?}");
        assert_eq!(*source, format!("source={}", plain_path(path)), "{case:#?}");
        if let Some(destination) = destination {
            assert_eq!(*to, format!("destination={destination}"), "{case:#?}");
        }
    }
}

/// A path as the manifest's reader takes it: `~` resolved, without empty and `.` parts.
pub fn plain_path(path: &str) -> String {
    let whole =
        path.strip_prefix('~').map_or(path.to_owned(), |rest| format!("{}{rest}", super::HOME));
    let parts = whole.split('/').filter(|p| !p.is_empty() && *p != ".");
    parts.map(|p| format!("/{p}")).collect()
}
