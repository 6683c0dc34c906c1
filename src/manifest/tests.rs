//! Tests of the manifest: what is accepted, every refusal with its place and words, and that the
//! template of a new one is accepted.

use camino::Utf8Path;

use super::*;
use crate::model::{Egress, Name, ProviderKind, SecretKey};

const HOME: &str = "/home/user";

fn read(text: &str) -> Result<Instance, Vec<Problem>> {
    parse(text, "team-a.toml", Utf8Path::new(HOME))
}

/// A manifest with a valid name and these further lines.
fn with(lines: &str) -> Result<Instance, Vec<Problem>> {
    read(&format!("[instance]\nname = \"team-a\"\n{lines}"))
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_smallest_one() {
    let instance = with("").unwrap();
    assert!(instance.autostart);
    assert_eq!(instance.postgres.database.as_str(), "hybridrag");
    assert_eq!(instance.postgres.user.as_str(), "hybridrag");
    assert_eq!(instance.postgres.image.as_str(), "localhost/ragpod/postgres:17");
    assert_eq!(instance.engine.image.as_str(), "localhost/ragpod/engine:latest");
    assert_eq!(instance.engine.batch_size, 10);
    assert_eq!(instance.provider.kind, ProviderKind::Offline);
    assert_eq!(instance.egress, Egress::None);
    assert!(instance.sources.is_empty() && instance.env.is_empty());
}

const OPENAI: &str = "[provider]\nkind = 'openai'\nllm_model = 'a'\nembedding_model = 'b'\n\
                      api_key = { secret = 'api-key' }\n";
const COMPATIBLE: &str = "[provider]\nkind = 'openai-compatible'\nllm_model = 'a'\n\
                          embedding_model = 'b'\nbase_url = 'https://llm.example.org:8443/v1'\n";

#[test]
fn egress_follows_from_the_provider() {
    let egress = |lines: &str| with(lines).map(|i| i.egress).map_err(|p| told(&p));
    let allow = |list: &[&str]| Egress::Allow(list.iter().map(|e| e.parse().unwrap()).collect());
    assert_eq!(egress(OPENAI), Ok(allow(&["api.openai.com:443"])));
    assert_eq!(egress(COMPATIBLE), Ok(allow(&["llm.example.org:8443"])));
    let listed = format!("{OPENAI}[egress]\nallow = ['b.org:1', 'API.openai.com:443']\n");
    assert_eq!(egress(&listed), Ok(allow(&["b.org:1", "api.openai.com:443"])));
    assert_eq!(egress(&format!("{OPENAI}[egress]\nmode = 'open'")), Ok(Egress::Open));
    assert_eq!(egress("[egress]\nallow = ['b.org:1']"), Ok(allow(&["b.org:1"])));
    // An address without a name is no endpoint, but an open instance reaches it.
    let address = COMPATIBLE.replace("llm.example.org", "192.0.2.1");
    assert_eq!(egress(&format!("{address}[egress]\nmode = 'open'")), Ok(Egress::Open));
    assert!(egress(&address).unwrap_err().contains("provider.base_url"));
}

#[test]
fn azure_has_a_version() {
    let azure = COMPATIBLE.replace("openai-compatible", "azure") + "api_key = { secret = 'k' }\n";
    let provider = with(&azure).unwrap().provider;
    assert_eq!(provider.api_version.unwrap().as_str(), "2024-02-15-preview");
    assert_eq!(provider.api_key.unwrap().as_str(), "k");
}

#[test]
fn sources_are_mounted() {
    let instance = with(
        "[[source]]\npath = '~'\n[[source]]\npath = '~//a/./Team Notes (ü)/'\npattern = '**/*.md'\n\
         [[source]]\npath = '/srv/b'\nname = 'c'\n",
    )
    .unwrap();
    let seen: Vec<_> =
        instance.sources.iter().map(|s| (s.path.as_str(), s.mount.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("/home/user", "/data/projects"),
            ("/home/user/a/Team Notes (ü)", "/data/sources/team-notes"),
            ("/srv/b", "/data/sources/c"),
        ]
    );
    assert_eq!(instance.sources[1].pattern.as_ref().unwrap().as_str(), "**/*.md");
}

/// Every manifest in `tests/manifests/invalid` with all that is said about it.
#[test]
fn everything_that_is_refused() {
    for (name, text) in INVALID {
        let problems = parse(text, &format!("{name}.toml"), Utf8Path::new(HOME)).unwrap_err();
        insta::assert_snapshot!(*name, told(&problems));
    }
}

const INVALID: &[(&str, &str)] = &[
    ("empty", ""),
    ("syntax", include_str!("../../tests/manifests/invalid/syntax.toml")),
    ("types", include_str!("../../tests/manifests/invalid/types.toml")),
    ("unknown", include_str!("../../tests/manifests/invalid/unknown.toml")),
    ("values", include_str!("../../tests/manifests/invalid/values.toml")),
    ("sources", include_str!("../../tests/manifests/invalid/sources.toml")),
    ("env", include_str!("../../tests/manifests/invalid/env.toml")),
    ("azure", include_str!("../../tests/manifests/invalid/azure.toml")),
    ("offline", include_str!("../../tests/manifests/invalid/offline.toml")),
    ("secrets", include_str!("../../tests/manifests/invalid/secrets.toml")),
    ("egress", include_str!("../../tests/manifests/invalid/egress.toml")),
    ("commands", include_str!("../../tests/manifests/invalid/commands.toml")),
    ("upstream", include_str!("../../tests/manifests/invalid/upstream.toml")),
    ("hardening", include_str!("../../tests/manifests/invalid/hardening.toml")),
];

#[test]
fn no_secret_is_repeated() {
    let text = include_str!("../../tests/manifests/invalid/secrets.toml");
    let problems = parse(text, "secrets.toml", Utf8Path::new(HOME)).unwrap_err();
    assert!(!told(&problems).contains("HUNTER2"), "{}", told(&problems));
    assert!(!format!("{problems:?}").contains("HUNTER2"));
}

#[test]
fn egress_that_cannot_be() {
    for (lines, words) in [
        ("[egress]\nmode = 'allow'\n", "the list is empty"),
        ("[egress]\nmode = 'none'\nallow = ['a.b:1']\n", "means nothing"),
        ("[egress]\nmode = 'all'\n", "is no mode"),
        ("[egress]\nallow = ['a.b']\n", "has no port"),
        ("[egress]\nallow = ['a.b:1', 'A.b:1']\n", "listed twice"),
        ("[egress]\nallow = [1]\n", "a whole number"),
    ] {
        let problems = told(&with(lines).unwrap_err());
        assert!(problems.contains(words), "{problems}");
    }
    for (lines, words) in [
        ("[egress]\nallow = ['a.b:1']\n", "api.openai.com:443 is missing"),
        ("[egress]\nmode = 'none'\n", "could not be reached"),
    ] {
        let problems = told(&with(&format!("{OPENAI}{lines}")).unwrap_err());
        assert!(problems.contains(words), "{problems}");
    }
}

#[test]
fn the_error_of_a_manifest() {
    let error = Problem::into_error(&read("[instance]\nname = 1\nnmae = 2\n").unwrap_err());
    assert_eq!(error.kind.exit_code(), 2);
    assert_eq!(error.message, "team-a.toml has 2 problems");
    assert_eq!(error.causes.len(), 2);
    assert!(error.causes[1].starts_with("team-a.toml:3:1: instance.nmae: "), "{error}");
}

#[test]
fn columns_count_characters() {
    let problems = read("[instance]\nname = \"team-a\"\nautostart = [\"ü\", 1] # ü\n").unwrap_err();
    assert_eq!((problems[0].line, problems[0].column), (3, 13));
    let problems = with("[provider]\n\"kïnd\" = 'x'\n").unwrap_err();
    assert_eq!((problems[0].line, problems[0].column), (4, 1));
}

fn new() -> New {
    New::named("team-a".parse::<Name>().unwrap())
}

#[test]
fn a_new_manifest_of_each_provider() {
    for kind in ProviderKind::ALL {
        let mut new = new();
        new.provider(kind);
        new.source_arg("~/a \"b\":**/*.md").unwrap();
        new.source_arg("/srv/notes").unwrap();
        let text = template(&new);
        let instance = read(&text).unwrap_or_else(|p| panic!("{text}\n{}", told(&p)));
        assert_eq!(instance.provider.kind, kind);
        assert_eq!(instance.sources[0].path, "/home/user/a \"b\"");
        assert_eq!(open_points(&instance).len(), usize::from(kind.needs_base_url()), "{kind}");
        insta::assert_snapshot!(format!("new-{kind}"), text);
    }
    read(&template(&new())).unwrap();
}

#[test]
fn keys_can_be_set() {
    let mut new = new();
    new.provider(ProviderKind::OpenAiCompatible);
    for argument in [
        "instance.autostart=false",
        "postgres.database=specstory",
        "postgres.memory=2G",
        "engine.batch_size=7",
        "engine.concurrency=3",
        "provider.base_url=https://a.b/v1",
        "provider.llm_model=a \"b\" = c # d",
        "provider.embedding_model=\"quoted\"",
        "provider.embedding_dim=5",
        "provider.api_key={ secret = \"k-1\" }",
        "egress.allow=a.b:443, c.d:1",
        "provider.ca_file=~/ca.pem",
        "hardening.writable_root=app, egress",
        "hardening.root_user=[\"app\"]",
        "schedule.ingest=12:00",
        "env.TOP_K=40",
    ] {
        new.set_arg(argument).unwrap();
    }
    let instance = read(&template(&new)).unwrap_or_else(|p| panic!("{}", told(&p)));
    assert!(!instance.autostart);
    assert_eq!(instance.postgres.database.as_str(), "specstory");
    assert_eq!(instance.postgres.memory.unwrap().bytes(), 2 << 30);
    assert_eq!(instance.engine.batch_size, 7);
    assert_eq!(instance.engine.concurrency, Some(3));
    assert_eq!(instance.provider.llm_model.unwrap().as_str(), "a \"b\" = c # d");
    assert_eq!(instance.provider.embedding_model.unwrap().as_str(), "quoted");
    assert_eq!(instance.provider.embedding_dim, Some(5));
    assert_eq!(instance.provider.api_key, "k-1".parse::<SecretKey>().ok());
    assert_eq!(instance.schedule.ingest.unwrap().as_str(), "12:00");
    assert_eq!(instance.env.values().next().unwrap().as_str(), "40");
    assert!(matches!(instance.egress, Egress::Allow(list) if list.len() == 2));
    assert_eq!(instance.provider.ca_file.unwrap(), "/home/user/ca.pem");
    let relaxed: Vec<_> = instance.hardening.iter().map(|(r, p)| (r.key(), p.label())).collect();
    assert_eq!(
        relaxed,
        [("writable_root", "egress"), ("writable_root", "app"), ("root_user", "app")]
    );
}

#[test]
fn what_cannot_be_set() {
    for (argument, words) in [
        ("postgres.memory", "KEY=VALUE"),
        ("postgres.memroy=1G", "did you mean memory?"),
        ("memory=1G", "the keys are"),
        ("postgres.databse=x", "did you mean database?"),
        ("instance.name=x", "the command's own argument"),
        ("source.path=/x", "--source"),
        ("env.POSTGRES_PASSWORD=HUNTER2", "[postgres]"),
        ("env.MY_TOKEN=HUNTER2", "secret"),
        ("env.1X=HUNTER2", "begins with no digit"),
        ("provider.api_key=HUNTER2", "reference"),
        ("provider.api_kez=HUNTER2", "did you mean api_key?"),
    ] {
        let error = new().set_arg(argument).unwrap_err();
        let all = format!("{error} {:?}", error.hints());
        assert!(all.contains(words), "{all}");
        assert!(!all.contains("HUNTER2"), "{all}");
        assert_eq!(error.kind.exit_code(), 2);
    }
    assert!(new().source_arg(":*.md").is_err());
    assert!(new().source_arg("/a:").is_err());
}

/// The list for suggestions and the reader agree: every key is known, and its wrong type is told.
#[test]
fn every_listed_key_is_read() {
    for key in KEYS {
        let (section, name) = key.split_once('.').unwrap();
        let header =
            if section == "source" { "[[source]]".to_owned() } else { format!("[{section}]") };
        let problems = told(&read(&format!("{header}\n{name} = 1979-05-27\n")).unwrap_err());
        assert!(!problems.contains("there is no such"), "{key}: {problems}");
        let told_of = format!("team-a.toml:2:{}: {key}: ", name.len() + 4);
        assert!(problems.contains(&told_of), "{key}: {problems}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}|(\\[(instance|provider|env|egress)\\]\n([a-z_]{1,8} = (1|'x'|\\[\\]|\"\\PC{0,9}\"|\\{\\})\n){0,4}){0,4}") {
        let _ = read(&text);
        let _ = env_file::parse(text.as_bytes(), ".env");
    }

    /// What is asked for is in the manifest, whatever it is.
    #[test]
    fn a_new_manifest_holds_what_was_asked_for(path in "/[^\\p{C}/.]{1,30}", model in "[^\\p{C}]{1,40}", env in "[^\\p{C}]{1,40}") {
        proptest::prop_assume!(!path.ends_with('\\') && path.trim() == path);
        let mut new = new();
        new.provider(ProviderKind::OpenAi);
        new.set_text("provider.llm_model", &model);
        new.source(path.clone(), Some(model.replace(['/', '.', '[', '{'], "_")));
        new.env("X".parse().unwrap(), env.parse().unwrap());
        let text = template(&new);
        let instance = read(&text).map_err(|p| {
            proptest::test_runner::TestCaseError::fail(format!("{text}\n{}", told(&p)))
        })?;
        proptest::prop_assert_eq!(instance.provider.llm_model.as_ref().unwrap().as_str(), model);
        proptest::prop_assert_eq!(instance.sources[0].path.as_str(), path);
        proptest::prop_assert_eq!(instance.env.values().next().unwrap().as_str(), env);
    }
}

mod env_files {
    use secrecy::ExposeSecret;

    use super::super::env_file::{Split, parse, split};
    use super::*;

    const COMPOSE: &str = "\
# Azure AI Foundry Configuration
AZURE_API_BASE=https://your-project.services.ai.azure.com/api/projects/your-project
AZURE_API_KEY=HUNTER2
AZURE_API_VERSION=2024-02-15-preview

LLM_MODEL=gpt-4.1-mini
EMBEDDING_MODEL=text-embedding-3-small
POSTGRES_PASSWORD=HUNTER2
POSTGRES_HOST=postgres
POSTGRES_PORT=5432
POSTGRES_DB=specstory
POSTGRES_USER=hybridrag
BACKEND_TYPE=postgres
HOST_PROJECTS_PATH=/home/user/Documents/code
BATCH_SIZE=10
";

    fn sorted(text: &str) -> Split {
        split(parse(text.as_bytes(), ".env").unwrap_or_else(|p| panic!("{}", told(&p))))
    }

    /// A compose deployment's file becomes its instance, and its secrets stay out of the manifest.
    #[test]
    fn a_compose_deployment() {
        let split = sorted(COMPOSE);
        let mut new = new();
        for (key, value) in &split.settings {
            new.set_text(key, value);
        }
        new.source(split.source.clone().unwrap(), None);
        let text = template(&new);
        let instance = read(&text).unwrap_or_else(|p| panic!("{text}\n{}", told(&p)));
        assert_eq!(instance.provider.kind, ProviderKind::Azure);
        assert_eq!(instance.postgres.database.as_str(), "specstory");
        assert_eq!(instance.sources[0].path, "/home/user/Documents/code");
        assert!(matches!(&instance.egress, Egress::Allow(list)
            if list[0].to_string() == "your-project.services.ai.azure.com:443"));
        let keys: Vec<_> = split.secrets.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["api-key", "postgres-password"]);
        assert_eq!(split.secrets[0].1.expose_secret(), "HUNTER2");
        assert!(!text.contains("HUNTER2") && !format!("{split:?}").contains("HUNTER2"));
        let ignored: Vec<_> = split.ignored.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(ignored, ["POSTGRES_HOST", "POSTGRES_PORT", "BACKEND_TYPE"]);
    }

    #[test]
    fn providers() {
        let kind = |text: &str| sorted(text).settings.first().cloned();
        let is = |k: &str| Some(("provider.kind", k.to_owned()));
        assert_eq!(kind("OPENAI_API_KEY=x\n"), is("openai"));
        assert_eq!(kind("OPENAI_BASE_URL=http://h/v1\n"), is("openai-compatible"));
        assert_eq!(kind("OLLAMA_HOST=http://h:1\n"), is("ollama"));
        assert_eq!(kind("TOP_K=1\n"), None);
        let both = sorted("OPENAI_API_KEY=HUNTER2\nAZURE_API_KEY=b\nAZURE_API_BASE=https://h\n");
        assert_eq!(both.secrets.len(), 1);
        assert_eq!(both.secrets[0].1.expose_secret(), "b");
        assert!(both.ignored[0].1.contains("another provider"));
    }

    #[test]
    fn the_rest_goes_to_the_engine_unless_it_is_secret() {
        let split = sorted("TOP_K=40\nSERVICE_TOKEN=HUNTER2\nPATH=/x\nEMPTY=\nPGSSLMODE=x\n");
        assert_eq!(split.env.len(), 1);
        assert_eq!(split.env[0].0.as_str(), "TOP_K");
        assert_eq!(split.ignored.len(), 4);
        assert!(split.secrets.is_empty());
    }

    #[test]
    fn forms() {
        let text = "\u{feff}export A=1\r\n  B = two words # a comment\nC=\"a # \\\"b\\\" \\$x \\n\"\n\
                    D='a \\ $b'  # c\nE=a#b\nF=#c\nG==\n\texport\tH=\"\"\n";
        let vars = parse(text.as_bytes(), ".env").unwrap();
        let seen: Vec<_> =
            vars.iter().map(|v| (v.name.as_str(), v.value.expose_secret(), v.line)).collect();
        assert_eq!(
            seen,
            [
                ("A", "1", 1),
                ("B", "two words", 2),
                ("C", "a # \"b\" $x \\n", 3),
                ("D", "a \\ $b", 4),
                ("E", "a#b", 5),
                ("F", "", 6),
                ("G", "=", 7),
                ("H", "", 8),
            ]
        );
        assert!(!format!("{vars:?}").contains("two words"));
    }

    #[test]
    fn problems_without_values() {
        let text = "A=1\nA=HUNTER2\nHUNTER2\nB=\"HUNTER2\nHUNTER2 x=1\nC='HUNTER2' HUNTER2\nD=a\u{1}HUNTER2\n";
        let problems = parse(text.as_bytes(), "x/.env").unwrap_err();
        let all = told(&problems);
        assert!(!all.contains("HUNTER2"), "{all}");
        let lines: Vec<_> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7], "{all}");
        assert!(all.starts_with("x/.env:2:1: A: it was set before, on line 1"), "{all}");
        let long = format!("A=1\r\nB={}\r\n", "x".repeat(1 << 20));
        let problems = parse(long.as_bytes(), ".env").unwrap_err();
        assert_eq!(told(&problems), ".env:2:1: B: its value is longer than 64 KiB");
        let problems = parse(b"A=1\nB=\xff\n", ".env").unwrap_err();
        assert_eq!((problems[0].line, problems[0].column), (2, 3));
    }
}

/// A random manifest found it: the source that is the root was refused, the file was not.
#[test]
fn the_whole_file_system_is_never_mounted() {
    let remote = "[provider]\nkind = \"openai\"\nllm_model = \"a\"\nembedding_model = \"b\"\n\
                  api_key = { secret = \"api-key\" }\n";
    for root in ["/", "//", "/.", "/./"] {
        let problems = with(&format!("{remote}ca_file = \"{root}\"\n")).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["provider.ca_file"], "{root}: {}", told(&problems));
        assert!(with(&format!("[[source]]\npath = \"{root}\"\n")).is_err(), "{root}");
    }
}
