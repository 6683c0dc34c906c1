//! Podman secrets: values go in through standard input. They come out for one purpose: to look
//! whether they are anywhere else.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{INSTANCE_LABEL, Podman};
use crate::error::{Error, Result};
use crate::model::Name;

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name: `hybridrag-NAME-KEY.VERSION`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// A secret with its value, for looking whether it is somewhere else.
#[derive(Clone, Debug)]
pub struct SecretValue {
    /// Its name: `hybridrag-NAME-KEY.VERSION`.
    pub name: String,
    /// The instance that it says it belongs to.
    pub instance: Option<String>,
    /// Its value.
    pub value: SecretString,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    spec: Spec,
    #[serde(default)]
    secret_data: String,
}

impl Podman {
    /// The secrets of all instances with their values, in two calls.
    pub fn secret_values(&self) -> Result<Vec<SecretValue>> {
        let all = self.cmd(["secret", "ls", "--format", "{{.Name}}"]).stdout()?;
        let ours: Vec<&str> =
            all.lines().map(str::trim).filter(|name| name.starts_with("hybridrag-")).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        // The error holds the command line and Podman's own words: neither has a value.
        let shown: Vec<Shown> =
            self.cmd(["secret", "inspect", "--showsecret", "--"]).args(ours).json()?;
        Ok(shown
            .into_iter()
            .map(|s| SecretValue {
                instance: s.spec.labels.and_then(|mut l| l.remove(INSTANCE_LABEL)),
                name: s.spec.name,
                value: s.secret_data.into(),
            })
            .collect())
    }

    /// The secrets of an instance (by label: a prefix would take another instance's, too).
    pub fn secret_list(&self, instance: &Name) -> Result<Vec<SecretInfo>> {
        let all = self.cmd(["secret", "ls", "--format", "{{.Name}}"]).stdout()?;
        let prefix = format!("{}-", instance.stem());
        let candidates: Vec<&str> =
            all.lines().map(str::trim).filter(|name| name.starts_with(&prefix)).collect();
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let inspected: Vec<Inspected> =
            self.cmd(["secret", "inspect", "--"]).args(candidates).json()?;
        let mut secrets: Vec<SecretInfo> = inspected
            .into_iter()
            .map(|i| SecretInfo { name: i.spec.name, labels: i.spec.labels.unwrap_or_default() })
            .filter(|s| s.labels.get(INSTANCE_LABEL).map(String::as_str) == Some(instance.as_str()))
            .collect();
        secrets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(secrets)
    }

    /// Whether there is a secret of this name.
    pub fn secret_exists(&self, name: &str) -> Result<bool> {
        // `podman secret exists` exits 1 for "no" and 125 when it cannot tell.
        let output = self.cmd(["secret", "exists", "--", name]).output()?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(Error::failed("cannot look up a secret")
                .cause(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }

    /// Creates a secret of an instance; one of that name must not exist.
    pub fn secret_create(&self, instance: &Name, name: &str, value: &SecretString) -> Result<()> {
        let label = format!("{INSTANCE_LABEL}={instance}");
        // The error holds the command line and Podman's own words: neither has the value.
        self.cmd(["secret", "create", "--label", &label, "--", name, "-"])
            .with_input(value.expose_secret().as_bytes())
            .map(drop)
    }

    /// Removes secrets; those that are not there are no error.
    pub fn secret_rm<S: AsRef<str>>(&self, names: &[S]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let names = names.iter().map(AsRef::as_ref);
        self.cmd(["secret", "rm", "--ignore", "--"]).args(names).stdout().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    fn name(s: &str) -> Name {
        s.parse().unwrap()
    }

    #[test]
    fn only_the_instances_own_are_listed() {
        let (dir, podman) = fake::podman(
            r#"case "$2" in
            ls) printf 'hybridrag-a-api-key.1\nhybridrag-a-b-api-key.1\nother\n';;
            inspect) cat <<'E'
[{"ID":"1","Spec":{"Name":"hybridrag-a-b-api-key.1","Labels":{"io.ragpod.instance":"a-b"}}},
 {"ID":"2","Spec":{"Name":"hybridrag-a-api-key.1","Labels":{"io.ragpod.instance":"a"}}}]
E
            ;; esac"#,
        );
        let names: Vec<String> =
            podman.secret_list(&name("a")).unwrap().into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["hybridrag-a-api-key.1"]);
        assert_eq!(
            fake::calls(&dir).lines().nth(1),
            Some("secret inspect -- hybridrag-a-api-key.1 hybridrag-a-b-api-key.1")
        );
        assert!(podman.secret_list(&name("zz")).unwrap().is_empty());
    }

    #[test]
    fn the_value_goes_through_standard_input_and_into_no_error() {
        let (dir, podman) = fake::podman("cat > \"$0.in\"; echo refused >&2; exit 125");
        let value = SecretString::from("s3cret-value");
        let e = podman.secret_create(&name("a"), "hybridrag-a-k.1", &value).unwrap_err();
        assert_eq!(std::fs::read_to_string(dir.path().join("podman.in")).unwrap(), "s3cret-value");
        assert!(!format!("{e:?}").contains("s3cret"), "{e:?}");
        assert!(!fake::calls(&dir).contains("s3cret"));
    }

    #[test]
    fn values_are_read_and_not_shown() {
        let (_dir, podman) = fake::podman(
            r#"case "$2" in
            ls) printf 'other\nhybridrag-a-k.1\n';;
            inspect) echo '[{"Spec":{"Name":"hybridrag-a-k.1","Labels":{"io.ragpod.instance":"a"}},
                "SecretData":"s3cret-value"}]';; esac"#,
        );
        let all = podman.secret_values().unwrap();
        assert_eq!(all[0].instance.as_deref(), Some("a"));
        assert_eq!(all[0].value.expose_secret(), "s3cret-value");
        assert!(!format!("{all:?}").contains("s3cret"));
    }

    #[test]
    fn exists_by_exit_code() {
        for (code, expected) in [(0, Some(true)), (1, Some(false)), (125, None)] {
            let (_dir, podman) = fake::podman(&format!("exit {code}"));
            assert_eq!(podman.secret_exists("x").ok(), expected);
        }
    }
}
