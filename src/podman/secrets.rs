//! Podman secrets: values go in through standard input. They come out to look whether they are
//! anywhere else, to be copied for another instance, and to be encrypted for a backup.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{INSTANCE_LABEL, Podman, settled};
use crate::error::{Error, Result};
use crate::model::Name;

/// A secret with its value.
#[derive(Clone, Debug)]
pub struct SecretValue {
    /// Its name: `hybridrag-NAME.KEY.VERSION`.
    pub name: String,
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    name: String,
}

impl Podman {
    /// The secrets of all instances with their values: two calls, and more where one goes between
    /// the two.
    pub fn secret_values(&self) -> Result<Vec<SecretValue>> {
        // By name, with the ids: one that is made again has another.
        let list = || -> Result<BTreeMap<String, String>> {
            let all = self.cmd(["secret", "ls", "--format", "{{.Name}} {{.ID}}"]).stdout()?;
            let pairs = all.lines().filter_map(|line| line.trim().split_once(' '));
            let ours = pairs.filter(|(name, _)| name.starts_with("hybridrag-"));
            Ok(ours.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
        };
        let (_, values) = settled(list, BTreeMap::clone, |all| self.secret_values_of(all.keys()))?;
        Ok(values)
    }

    /// These secrets with their values: one call. They must all be there.
    pub fn secret_values_of<S: Into<String>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Vec<SecretValue>> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // The error holds the command line and Podman's own words: neither has a value.
        let shown: Vec<Shown> =
            self.cmd(["secret", "inspect", "--showsecret", "--"]).args(names).json()?;
        let value = |s: Shown| SecretValue { name: s.spec.name, value: s.secret_data.into() };
        Ok(shown.into_iter().map(value).collect())
    }

    /// The names of an instance's secrets. No instance's name has a dot, so the one before the key
    /// tells them from those of every other instance.
    pub fn secret_list(&self, instance: &Name) -> Result<BTreeSet<String>> {
        let all = self.cmd(["secret", "ls", "--format", "{{.Name}}"]).stdout()?;
        let prefix = format!("{}.", instance.stem());
        let names = all.lines().map(str::trim).filter(|name| name.starts_with(&prefix));
        Ok(names.map(str::to_owned).collect())
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
        let (_dir, podman) = fake::podman(
            r"printf 'hybridrag-a.api-key.1\nhybridrag-a-b.api-key.1\nhybridrag-b.a.1\nother\n'",
        );
        let names = podman.secret_list(&name("a")).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["hybridrag-a.api-key.1"]);
        assert!(podman.secret_list(&name("zz")).unwrap().is_empty());
    }

    #[test]
    fn the_value_goes_through_standard_input_and_into_no_error() {
        let (dir, podman) = fake::podman("cat > \"$0.in\"; echo refused >&2; exit 125");
        let value = SecretString::from("s3cret-value");
        let e = podman.secret_create(&name("a"), "hybridrag-a.k.1", &value).unwrap_err();
        assert_eq!(std::fs::read_to_string(dir.path().join("podman.in")).unwrap(), "s3cret-value");
        assert!(!format!("{e:?}").contains("s3cret"), "{e:?}");
        assert!(!fake::calls(&dir).contains("s3cret"));
    }

    #[test]
    fn values_are_read_and_not_shown() {
        let (_dir, podman) = fake::podman(
            r#"case "$2" in
            ls) printf 'other 1\nhybridrag-a.k.1 2\n';;
            inspect) echo '[{"Spec":{"Name":"hybridrag-a.k.1"},"SecretData":"s3cret-value"}]';;
            esac"#,
        );
        let all = podman.secret_values().unwrap();
        assert_eq!((all.len(), all[0].name.as_str()), (1, "hybridrag-a.k.1"));
        assert_eq!(all[0].value.expose_secret(), "s3cret-value");
        assert!(!format!("{all:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_that_goes_between_the_list_and_the_look_does_not_count() {
        let (_dir, podman) = fake::podman(
            r#"case "$*" in
            *ls*) echo hybridrag-a.k.1 1; [ -e "$0.gone" ] || echo hybridrag-b.k.1 2;;
            *hybridrag-b*) touch "$0.gone"; echo '[]'; echo 'Error: no such secret' >&2; exit 125;;
            *) echo '[{"Spec":{"Name":"hybridrag-a.k.1"},"SecretData":"v"}]';;
            esac"#,
        );
        assert_eq!(podman.secret_values().unwrap().len(), 1);
    }

    #[test]
    fn exists_by_exit_code() {
        for (code, expected) in [(0, Some(true)), (1, Some(false)), (125, None)] {
            let (_dir, podman) = fake::podman(&format!("exit {code}"));
            assert_eq!(podman.secret_exists("x").ok(), expected);
        }
    }
}
