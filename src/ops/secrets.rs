//! Secrets of an instance: Podman secrets, one name per version, so that a new value is a new
//! name and restarts whoever mounts it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;

use super::{Ctx, manifests};
use crate::error::{Error, Kind, Result};
use crate::fault;
use crate::install::{Lock, Scope, State, UnitDir};
use crate::model::{Instance, Name, SecretKey};
use crate::podman::Podman;

/// The longest value that is taken, in bytes: Podman's own limit is 512,000.
const MAX_BYTES: u64 = 64 << 10;

/// How long a command waits for another one that holds the instance's lock.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(120);

/// Takes the instance's lock, telling who holds it.
pub(super) async fn lock(ctx: Ctx<'_>, name: &Name) -> Result<Lock> {
    super::wait_for_lock(ctx, Scope::Instance(name.clone()), LOCK_WAIT, &mut |holder| {
        ctx.progress.step(&format!("waiting for {name}: held by {holder}"));
    })
    .await
}

/// Reads a secret's value, one line, from standard input. One newline at the end, as `echo` and
/// editors leave it, is not part of it.
///
/// # Errors
/// Empty, longer than 64 KiB, not UTF-8, or with a NUL.
pub fn read_value(input: impl Read) -> Result<SecretString> {
    let mut bytes = Vec::new();
    input
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", "the value from standard input", &e))?;
    check_value(bytes)
}

fn check_value(mut bytes: Vec<u8>) -> Result<SecretString> {
    let refuse = |why: &str| {
        Err(Error::usage(format!("the value {why}"))
            .hint("give it in one line on standard input: ragpod secret set NAME KEY < FILE"))
    };
    if bytes.len() as u64 > MAX_BYTES {
        return refuse("is longer than 64 KiB");
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return refuse("is empty");
    }
    if bytes.contains(&0) {
        return refuse("has a NUL byte in it");
    }
    if bytes.contains(&b'\n') {
        return refuse("has more than one line");
    }
    // It goes into headers, which take none.
    if bytes.iter().any(u8::is_ascii_control) {
        return refuse("has a control character in it");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => refuse("is not UTF-8 text"),
    }
}

/// A secret, as `secret list` shows it.
#[derive(Debug, Serialize)]
pub struct SecretStatus {
    /// Its key.
    pub key: SecretKey,
    /// Its version, from 1.
    pub version: u32,
    /// Whether Podman has it.
    pub present: bool,
}

/// Stores a secret's value as a new version; gives whether units are installed that still mount
/// the old one.
pub async fn set(ctx: Ctx<'_>, name: &Name, key: &SecretKey, value: &SecretString) -> Result<bool> {
    manifests::require(ctx.env, name)?;
    let podman = Podman::new();
    podman.supported()?;
    let _lock = lock(ctx, name).await?;
    let dir = ctx.env.state();
    let mut state = State::load(&dir, name)?;
    store(&podman, &mut state, name, key, value)?;
    state.save(&dir, name)?;
    Ok(!state.applied.is_empty())
}

/// Stores a value under the next version's name. The old version stays until `up` has replaced
/// the containers that mount it.
pub(super) fn store(
    podman: &Podman,
    state: &mut State,
    name: &Name,
    key: &SecretKey,
    value: &SecretString,
) -> Result<()> {
    let present = podman.secret_list(name)?;
    let mut version = state.secrets.get(key).map_or(1, |v| v + 1);
    // A name that is there already was left by a change that did not finish.
    while present.contains(&key.podman_name(name, version)) {
        version += 1;
    }
    podman.secret_create(name, &key.podman_name(name, version), value)?;
    fault::point("stored");
    state.secrets.insert(key.clone(), version);
    Ok(())
}

/// The secrets that the manifest asks for and those that were set.
pub fn list(ctx: Ctx<'_>, name: &Name) -> Result<Vec<SecretStatus>> {
    let instance = manifests::load(ctx.env, name)?;
    let podman = Podman::new();
    podman.supported()?;
    let present = podman.secret_list(name)?;
    let state = State::load(&ctx.env.state(), name)?;
    let mut keys = instance.secret_keys();
    keys.extend(state.secrets.keys().cloned());
    keys.sort();
    keys.dedup();
    Ok(keys
        .into_iter()
        .map(|key| {
            let version = state.secrets.get(&key).copied().unwrap_or(1);
            let present = present.contains(&key.podman_name(name, version));
            SecretStatus { key, version, present }
        })
        .collect())
}

/// Removes a secret; gives whether there was one.
///
/// # Errors
/// [`Kind::Usage`] for one that the installed units mount: they could not start any more.
pub async fn remove(ctx: Ctx<'_>, name: &Name, key: &SecretKey) -> Result<bool> {
    let instance = manifests::load(ctx.env, name)?;
    let mounted = || -> Result<()> {
        let installed = !UnitDir::new(ctx.env).parts_of(name)?.is_empty();
        if installed && instance.secret_keys().contains(key) {
            return Err(Error::usage(format!("{name} is installed and mounts {key}"))
                .hint(format!("give it a new value: ragpod secret set {name} {key} < FILE"))
                .hint(format!("or take the instance off first: ragpod down {name}")));
        }
        Ok(())
    };
    mounted()?;
    let podman = Podman::new();
    podman.supported()?;
    let _lock = lock(ctx, name).await?;
    let dir = ctx.env.state();
    mounted()?;
    let state = State::load(&dir, name)?;
    let Some(version) = state.secrets.get(key) else { return Ok(false) };
    let secret = key.podman_name(name, *version);
    if !podman.secret_list(name)?.contains(&secret) {
        return Ok(false);
    }
    // The version stays known: the next value gets the next one, and with it a new name.
    podman.secret_rm(&[secret])?;
    Ok(true)
}

/// What Podman has of an instance's secrets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Needed, and not there.
    pub missing: Vec<SecretKey>,
    /// Whether there are versions that are in use no more.
    pub surplus: bool,
}

/// Looks at the secrets that the instance needs. Of a key that the state does not know, the newest
/// version that Podman has is taken: the state file may have been moved away.
///
/// # Errors
/// [`Kind::Failed`] for one that is missing and that only its owner knows, with how to set it.
pub(super) fn look(podman: &Podman, state: &mut State, instance: &Instance) -> Result<Found> {
    let name = &instance.name;
    let present = podman.secret_list(name)?;
    let mut missing = Vec::new();
    for key in instance.secret_keys() {
        if !state.secrets.contains_key(&key)
            && let Some(newest) = newest(&present, name, &key)
        {
            state.secrets.insert(key.clone(), newest);
        }
        let version = state.secrets.get(&key);
        if !version.is_some_and(|v| present.contains(&key.podman_name(name, *v))) {
            missing.push(key);
        }
    }
    if let Some(key) = missing.iter().find(|key| **key != SecretKey::postgres_password()) {
        return Err(Error::new(Kind::Failed, format!("the secret {key} of {name} is not set"))
            .hint(format!("set it: ragpod secret set {name} {key} < FILE")));
    }
    let used: BTreeSet<String> =
        state.secrets.iter().map(|(key, version)| key.podman_name(name, *version)).collect();
    Ok(Found { missing, surplus: !present.is_subset(&used) })
}

/// The newest version of a secret that Podman has.
fn newest(present: &BTreeSet<String>, name: &Name, key: &SecretKey) -> Option<u32> {
    let prefix = key.podman_name(name, 0);
    let prefix = prefix.strip_suffix('0')?;
    present.iter().filter_map(|secret| secret.strip_prefix(prefix)?.parse().ok()).max()
}

/// Makes a database password where there is none. The database's role gets it when its container
/// starts.
pub(super) fn provide(
    podman: &Podman,
    state: &mut State,
    name: &Name,
    missing: &[SecretKey],
) -> Result<()> {
    missing.iter().try_for_each(|key| store(podman, state, name, key, &generate()?))
}

/// Removes the versions that are in use no more: neither the newest nor `mounted` by the installed
/// units.
pub(super) fn prune(
    podman: &Podman,
    state: &State,
    name: &Name,
    mounted: &BTreeMap<SecretKey, u32>,
) -> Result<()> {
    let old: Vec<String> = podman
        .secret_list(name)?
        .into_iter()
        .filter(|secret| {
            let mut used = state.secrets.iter().chain(mounted);
            !used.any(|(key, version)| key.podman_name(name, *version) == *secret)
        })
        .collect();
    podman.secret_rm(&old)
}

/// A password of 32 letters and digits from the kernel's generator (190 bits).
pub(super) fn generate() -> Result<SecretString> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = String::with_capacity(32);
    let mut buffer = [0u8; 64];
    while password.len() < 32 {
        getrandom::fill(&mut buffer)
            .map_err(|e| Error::failed("the kernel gave no random bytes").cause(e.to_string()))?;
        // 248 is the largest multiple of 62 in a byte: what is above would favour some letters.
        let letters = buffer.iter().filter(|b| **b < 248).map(|b| ALPHABET[usize::from(b % 62)]);
        password.extend(letters.map(char::from).take(32 - password.len()));
    }
    Ok(password.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn values() {
        let value = |b: &[u8]| check_value(b.to_vec()).map(|s| s.expose_secret().to_owned());
        assert_eq!(value(b"key\n").unwrap(), "key");
        assert_eq!(value(b"key\r\n").unwrap(), "key");
        assert_eq!(value(b" k e y ").unwrap(), " k e y ");
        for bad in [&b""[..], b"\n", b"a\0b", b"a\nb", b"\xff", &vec![b'x'; 70_000]] {
            assert_eq!(value(bad).unwrap_err().kind, Kind::Usage);
        }
    }

    #[test]
    fn the_newest_version_is_found() {
        let present = ["api-key.2", "api-key.10", "api-key.x", "postgres-password.7"]
            .map(|s| format!("hybridrag-a.{s}"))
            .into();
        let name = "a".parse().unwrap();
        assert_eq!(newest(&present, &name, &SecretKey::api_key()), Some(10));
        assert_eq!(newest(&present, &name, &SecretKey::postgres_password()), Some(7));
        assert_eq!(newest(&present, &"b".parse().unwrap(), &SecretKey::api_key()), None);
    }

    #[test]
    fn passwords_are_long_and_differ() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_eq!(a.expose_secret().len(), 32);
        assert!(a.expose_secret().chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(a.expose_secret(), b.expose_secret());
    }
}
