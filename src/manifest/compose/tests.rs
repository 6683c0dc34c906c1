//! Compose folders, from the text to the manifest and the list of what became of each thing.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::super::{New, parse, template};
use super::*;

/// A folder that only exists here: a path without a text is a folder.
#[derive(Default)]
struct Fake(BTreeMap<Utf8PathBuf, Option<String>>);

impl Fake {
    fn with(files: &[(&str, &str)], folders: &[&str]) -> Self {
        let files = files.iter().map(|(path, text)| (place(path), Some((*text).to_owned())));
        Self(files.chain(folders.iter().map(|path| (place(path), None))).collect())
    }
}

fn place(path: &str) -> Utf8PathBuf {
    Utf8Path::new("/home/user/old").join(path)
}

impl Folder for Fake {
    fn root(&self) -> &Utf8Path {
        "/home/user/old".into()
    }

    fn home(&self) -> &Utf8Path {
        "/home/user".into()
    }

    fn look(&self, path: &Utf8Path) -> There {
        match self.0.get(path) {
            Some(Some(_)) => There::File,
            Some(None) => There::Folder,
            None => There::Nothing,
        }
    }

    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, String> {
        match self.0.get(path) {
            Some(Some(text)) => Ok(Some(text.clone().into_bytes())),
            Some(None) => Err("it is no file".to_owned()),
            None => Ok(None),
        }
    }
}

/// The manifest that a deployment gives.
fn manifest(deployment: &Deployment) -> String {
    let mut new = New::named("moved".parse().unwrap());
    for (key, value) in &deployment.settings {
        new.set_text(key, value);
    }
    for (name, value) in &deployment.env {
        new.env(name.clone(), value.clone());
    }
    for source in &deployment.sources {
        new.source(source.as_str(), None);
    }
    template(&new)
}

/// All of it as one text, which must hold no secret.
fn told(folder: &Fake, file: &str, text: &str) -> String {
    let deployment = read(folder, file, text, None).unwrap();
    let manifest = manifest(&deployment);
    parse(&manifest, "moved.toml", "/home/user".into()).unwrap();
    let findings: Vec<String> = deployment
        .findings
        .iter()
        .map(|f| {
            let outcome = serde_json::to_value(f.outcome).unwrap();
            format!("{:<14} {f}", outcome.as_str().unwrap())
        })
        .collect();
    let secrets: Vec<String> = deployment.secrets.iter().map(|(key, _)| key.to_string()).collect();
    let all = format!(
        "{manifest}\n---- {}, secrets: {}\n{:#?}\n----\n{}\n",
        deployment.project,
        secrets.join(", "),
        deployment.database,
        findings.join("\n")
    );
    assert!(!all.contains("s3cret"), "{all}");
    all
}

const ISOLATED: &str = include_str!("fixtures/isolated.yaml");

fn isolated() -> Fake {
    let env = include_str!("fixtures/isolated.env");
    Fake::with(&[(".env", env)], &["/home/user/minutes"])
}

#[test]
fn an_isolated_deployment() {
    insta::assert_snapshot!(told(&isolated(), "docker-compose.yaml", ISOLATED));
    let deployment = read(&isolated(), "docker-compose.yaml", ISOLATED, None).unwrap();
    let secrets: Vec<_> =
        deployment.secrets.iter().map(|(k, v)| (k.as_str(), v.expose_secret())).collect();
    assert_eq!(secrets, [("api-key", "s3cret-azure"), ("postgres-password", "s3cret-database")]);
}

#[test]
fn lists_anchors_ports_and_what_nobody_knows() {
    let folder = Fake::with(
        &[
            (".env", include_str!("fixtures/variants.env")),
            ("common.env", include_str!("fixtures/common.env")),
            ("config.yaml", ""),
        ],
        &["/home/user/notes", "/home/user/code"],
    );
    let text = include_str!("fixtures/variants.yaml");
    insta::assert_snapshot!(told(&folder, "compose.yaml", text));
    let deployment = read(&folder, "compose.yaml", text, None).unwrap();
    let key = deployment.secrets.iter().find(|(k, _)| *k == SecretKey::api_key()).unwrap();
    assert_eq!(key.1.expose_secret(), "s3cret-$openai");
    assert_eq!(deployment.autostart, Some(false));
}

#[test]
fn secrets_in_files() {
    let folder = Fake::with(&[("db.txt", "s3cret-db\n"), ("openai.txt", "s3cret-openai")], &[]);
    let text = include_str!("fixtures/files.yaml");
    insta::assert_snapshot!(told(&folder, "compose.yaml", text));
    let deployment = read(&folder, "compose.yaml", text, None).unwrap();
    let secrets: Vec<_> = deployment.secrets.iter().map(|(_, v)| v.expose_secret()).collect();
    assert_eq!(secrets, ["s3cret-openai", "s3cret-db"]);
}

/// Every key of a service and every variable is in some finding.
#[test]
fn nothing_is_dropped() {
    let deployment = read(&isolated(), "docker-compose.yaml", ISOLATED, None).unwrap();
    let told = |key: &str| deployment.findings.iter().any(|f| f.key.starts_with(key));
    let root = yaml::parse(ISOLATED, "f").unwrap();
    for (service, node) in root.get("services").unwrap().entries() {
        for (key, _) in node.entries().iter().filter(|(k, _)| k.text != "env_file") {
            let key = format!("services.{}.{}", service.text, key.text);
            assert!(told(&key), "{key}");
        }
    }
    for line in include_str!("fixtures/isolated.env").lines().filter(|l| !l.starts_with('#')) {
        assert!(told(line.split('=').next().unwrap()), "{line}");
    }
}

#[test]
fn bad_folders() {
    let db = "  db: {image: postgres:17}\n";
    for (text, env, says) in [
        ("services: {}\n", "", "it has no services"),
        ("services:\n  web: {image: nginx}\n", "", "looks like HybridRAG"),
        (&format!("services:\n{db}  db2: {{image: postgres:16}}\n"), "", "db and db2 are both"),
        ("services: [\n", "", "c.yaml:2:1: it is no YAML"),
        (&format!("services:\n{db}"), "A=1\nA=2\n", ".env:2:1: A: it was set before"),
        (&format!("services:\n{db}"), "bad line\n", "no '='"),
        (
            "services:\n  db:\n    image: postgres\n    environment: {A: '${N:?set it}'}\n",
            "",
            "c.yaml:4:1: services.db.environment.A: it needs N",
        ),
        (
            "services:\n  db:\n    image: postgres\n    env_file: gone.env\n",
            "",
            "there is no file gone.env",
        ),
        (
            "services:\n  db:\n    image: postgres\n    environment: {A: [1]}\n",
            "",
            "must be a text",
        ),
    ] {
        let folder = Fake::with(&[(".env", env)], &[]);
        let problems = read(&folder, "c.yaml", text, None).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.join("\n").contains(says), "{text}: {all:?}");
    }
    let folder = Fake::with(&[], &[".env"]);
    let problems = read(&folder, "c.yaml", "services: {db: {image: postgres}}", None).unwrap_err();
    assert!(problems[0].to_string().contains(".env:1:1: it cannot be read"), "{problems:?}");
}

/// A value as YAML writes it, whatever is in it: JSON is YAML.
fn yaml(value: &str) -> String {
    serde_json::to_string(&value.replace('$', "$$")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_value_is_refused_or_arrives(value in "\\PC{0,24}|[a-z \"'\\\\%;#=\\[\\]{}:\n\t-]{0,24}") {
        let text = format!(
            "services:\n  db:\n    image: postgres\n  app:\n    image: hybridrag\n    environment:\n      \
             OPENAI_API_KEY: k\n      EMBEDDING_MODEL: m\n      LLM_MODEL: {0}\n      GREETING: {0}\n",
            yaml(&value)
        );
        let Ok(deployment) = read(&Fake::default(), "c.yaml", &text, None) else {
            return Err(TestCaseError::fail(text));
        };
        let of = |key: &str| deployment.findings.iter().find(|f| f.key.ends_with(key)).unwrap().outcome;
        match parse(&manifest(&deployment), "moved.toml", "/home/user".into()) {
            Ok(instance) => {
                // What was not taken is empty, or said so.
                let model = instance.provider.llm_model.map(|m| m.to_string());
                if of(".LLM_MODEL") == Outcome::Taken {
                    prop_assert_eq!(model.as_deref(), Some(value.as_str()));
                }
                let greeting = instance.env.iter().find(|(n, _)| n.as_str() == "GREETING");
                if of(".GREETING") == Outcome::PassedOn {
                    prop_assert_eq!(greeting.unwrap().1.as_str(), value.as_str());
                } else {
                    prop_assert!(greeting.is_none());
                }
            }
            Err(problems) => {
                prop_assert!(problems.iter().all(|p| p.key == "provider.llm_model"), "{:?}", problems);
            }
        }
    }

    #[test]
    fn no_text_makes_it_fail(text in "[a-z:\\- \n\\[\\]{}&*!|>'\"#%@`,?$~]{0,80}") {
        let _ = read(&Fake::default(), "c.yaml", &text, None);
        let _ = read(&Fake::default(), "c.yaml", &format!("services:\n  db:\n    image: postgres\n    environment: {text}\n"), None);
    }
}
