//! A new instance's manifest, and the secrets of an env file.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use secrecy::SecretString;
use serde::Serialize;

use super::{Ctx, compose, manifests, secrets};
use crate::error::{Error, Kind, Result};
use crate::install::{State, atomic_write};
use crate::manifest::compose::Deployment;
pub use crate::manifest::compose::{Finding, Outcome};
use crate::manifest::{
    self, New, Problem, env_file,
    env_file::{Fate, Split},
};
use crate::model::{EnvName, Name, ProviderKind, SecretKey};
use crate::podman::Podman;

/// What `create` was asked for.
#[derive(Debug)]
pub struct Wish {
    /// The new name.
    pub name: Name,
    /// The provider.
    pub provider: Option<ProviderKind>,
    /// `DIR[:PATTERN]` each.
    pub sources: Vec<String>,
    /// A `.env` file.
    pub env_file: Option<Utf8PathBuf>,
    /// The folder of a Docker Compose deployment, or its compose file.
    pub from_compose: Option<Utf8PathBuf>,
    /// `KEY=VALUE` each.
    pub set: Vec<String>,
    /// Replace a manifest that is there.
    pub force: bool,
}

impl Wish {
    /// Whether `--set` gives this key.
    fn sets(&self, key: &str) -> bool {
        self.set.iter().any(|set| set.split_once('=').is_some_and(|(k, _)| k.trim() == key))
    }
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct Created {
    /// The instance's name.
    pub name: Name,
    /// Its manifest.
    pub manifest: Utf8PathBuf,
    /// The keys of the secrets that were stored.
    pub secrets: Vec<SecretKey>,
    /// What was not understood or left out.
    pub notes: Vec<String>,
    /// What became of each variable of an env file that was taken over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_file: Vec<String>,
    /// What became of each thing in a compose folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compose: Vec<Finding>,
    /// What to type next.
    pub next: Vec<String>,
}

/// Writes a manifest. Everything is checked before anything is written.
pub async fn create(ctx: Ctx<'_>, wish: &Wish) -> Result<Created> {
    let name = &wish.name;
    let file = manifests::path(ctx.env, name);
    let taken = || -> Result<()> {
        if !file.exists() || wish.force {
            return Ok(());
        }
        Err(Error::new(Kind::Exists, format!("there is an instance {name} already"))
            .cause(format!("its manifest is {file}"))
            .hint(format!("edit that file, then: ragpod up {name}"))
            .hint(format!("or replace it: ragpod create {name} --force …")))
    };
    taken()?;
    // `rm` without --data leaves the data, and says so; so does this.
    let earlier = !file.exists() && State::exists(&ctx.env.state(), name);
    let deployment = wish
        .from_compose
        .as_deref()
        .map(|place| compose::read(ctx.env, place, chosen(wish)))
        .transpose()?;
    let data = deployment.as_ref().is_some_and(|d| d.database.is_some());
    let Described { new, secrets: found, ignored, told, findings } = describe(wish, deployment)?;
    let text = manifest::template(&new);
    // What we write is what we read: the template goes through the same door as an edited file.
    let instance = manifest::parse(&text, file.as_str(), &ctx.env.home)
        .map_err(|problems| refused(name, &problems))?;
    super::up::check_mounts(&instance)?;

    let podman = Podman::new();
    if !found.is_empty() {
        podman.supported()?;
    }
    let _lock = secrets::lock(ctx, name).await?;
    // Again: another `create` may have held the lock.
    taken()?;
    super::sweep(ctx, name)?;
    if !found.is_empty() {
        let dir = ctx.env.state();
        let mut state = State::load(&dir, name)?;
        store(&podman, &mut state, name, &found)?;
        state.save(&dir, name)?;
    }
    let parent = ctx.env.manifests();
    fs::create_dir_all(&parent).map_err(|e| Error::io("make", &parent, &e))?;
    // A manifest may be a link into somebody's collection of dotfiles: that file is written.
    let target = file.canonicalize_utf8().unwrap_or_else(|_| file.clone());
    atomic_write(&target, text.as_bytes(), 0o600)?;

    let mut notes: Vec<String> =
        ignored.iter().map(|(var, why)| format!("{var} was left out: {why}")).collect();
    if earlier {
        let kept = State::dir(&ctx.env.state(), name).join("manifest.toml");
        notes.push(format!(
            "data of an earlier {name} is still here and will be used; its manifest was {kept}"
        ));
    }
    if let Some(guess) = new.guessed_models() {
        notes.push(guess);
    }
    let mut next: Vec<String> =
        manifest::open_points(&instance).iter().map(|p| format!("in {file}: {p}")).collect();
    for key in instance.secret_keys() {
        let here = found.iter().any(|(k, _)| *k == key);
        if key != SecretKey::postgres_password() && !here {
            next.push(format!("ragpod secret set {name} {key} < FILE"));
        }
    }
    if instance.sources.is_empty() {
        next.push(format!("name a folder to ingest: [[source]] in {file}"));
    }
    next.push(format!("ragpod up {name}"));
    if let Some(place) = wish.from_compose.as_ref().filter(|_| data) {
        next.push(format!("ragpod import {name} {place}    # its database"));
    }
    Ok(Created {
        name: name.clone(),
        manifest: file,
        secrets: found.into_iter().map(|(key, _)| key).collect(),
        notes,
        env_file: told,
        compose: findings,
        next,
    })
}

/// Stores all of them, or none.
fn store(
    podman: &Podman,
    state: &mut State,
    name: &Name,
    found: &[(SecretKey, SecretString)],
) -> Result<()> {
    let mut stored = Vec::new();
    for (key, value) in found {
        if let Err(e) = secrets::store(podman, state, name, key, value) {
            // What went wrong first is told; another try makes new versions whatever is left.
            let _ = podman.secret_rm(&stored);
            return Err(e);
        }
        stored.extend(state.secrets.get(key).map(|version| key.podman_name(name, *version)));
    }
    Ok(())
}

/// What is known before anything is written.
struct Described {
    new: New,
    secrets: Vec<(SecretKey, SecretString)>,
    ignored: Vec<(EnvName, String)>,
    told: Vec<String>,
    findings: Vec<Finding>,
}

/// The provider that the options ask for.
fn chosen(wish: &Wish) -> Option<ProviderKind> {
    let set = wish.set.iter().rev().find_map(|set| {
        let (key, value) = set.split_once('=')?;
        (key.trim() == "provider.kind").then(|| value.trim().trim_matches('"').parse().ok())?
    });
    set.or(wish.provider)
}

/// What the wish says of the new instance, and what its env file or compose folder holds. An
/// option counts more than those.
fn describe(wish: &Wish, deployment: Option<Deployment>) -> Result<Described> {
    let mut new = New::named(wish.name.clone());
    let mut described = Split::default();
    let mut findings = Vec::new();
    let mut told = Vec::new();
    let mut sources = Vec::new();
    if let Some(file) = &wish.env_file {
        described = split_env_file(file, wish, &mut told)?;
        sources.extend(described.source.take());
    }
    if let Some(deployment) = deployment {
        if let Some(autostart) = deployment.autostart {
            new.set_arg(&format!("instance.autostart={autostart}"))?;
        }
        described.settings = deployment.settings;
        described.secrets = deployment.secrets;
        described.env = deployment.env;
        sources.extend(deployment.sources.into_iter().map(Utf8PathBuf::into_string));
        findings = deployment.findings;
    }
    for (key, value) in &described.settings {
        new.set_text(key, value);
    }
    for (name, value) in described.env {
        new.env(name, value);
    }
    if let Some(kind) = wish.provider {
        new.provider(kind);
    }
    // Of some kinds of provider the key is optional; here is one.
    let key = SecretKey::api_key();
    if new.provider_kind().is_remote() && described.secrets.iter().any(|(k, _)| *k == key) {
        new.set_arg(&format!("provider.api_key={{ secret = \"{key}\" }}"))?;
    }
    for source in &wish.sources {
        new.source_arg(&absolute(source)?)?;
    }
    if wish.sources.is_empty() {
        for path in sources {
            new.source(path, None);
        }
    }
    for set in &wish.set {
        new.set_arg(set)?;
    }
    Ok(Described { new, secrets: described.secrets, ignored: described.ignored, told, findings })
}

/// An env file's variables, sorted; `told` gets what becomes of each that is not left out.
fn split_env_file(file: &Utf8Path, wish: &Wish, told: &mut Vec<String>) -> Result<Split> {
    let bytes = fs::read(file).map_err(|e| {
        Error::io("read", file, &e).hint("name a file that is there: --env-file FILE")
    })?;
    let vars = env_file::parse(&bytes, file.as_str()).map_err(|p| {
        let mut error = Problem::into_error(&p);
        error.kind = Kind::Usage;
        error.hint(format!("correct {file}, then run the same command again"))
    })?;
    let names: Vec<EnvName> = vars.iter().map(|var| var.name.clone()).collect();
    let split = env_file::split_for(vars, chosen(wish));
    told.extend(names.iter().zip(&split.fates).filter_map(|(name, fate)| {
        let place = match fate {
            Fate::Key(key) if wish.sets(key) => format!("not used: --set gives {key}"),
            Fate::Source if !wish.sources.is_empty() => "not used: --source is given".to_owned(),
            // Told as a warning.
            Fate::LeftOut(_) => return None,
            _ => fate.told(name.as_str()),
        };
        Some(format!("{name}: {place}"))
    }));
    Ok(split)
}

/// A `--source` argument with the folder's whole path: on a command line `notes` means the one in
/// the current folder, in a manifest it would mean nothing.
fn absolute(source: &str) -> Result<String> {
    let (dir, pattern) = match source.split_once(':') {
        Some((dir, pattern)) => (dir, format!(":{pattern}")),
        None => (source, String::new()),
    };
    if dir.is_empty() || dir.starts_with(['/', '~']) {
        return Ok(source.to_owned());
    }
    let whole = Utf8Path::new(dir).canonicalize_utf8().map_err(|e| {
        Error::usage(format!("the source {dir} cannot be used"))
            .cause(e.to_string())
            .hint("name a folder that is there: --source ~/notes")
    })?;
    Ok(format!("{whole}{pattern}"))
}

/// The problems of a manifest that nobody has written yet: its lines mean nothing to anybody.
fn refused(name: &Name, problems: &[Problem]) -> Error {
    let error = Error::new(Kind::Usage, format!("{name} cannot be made like this"));
    let error = problems
        .iter()
        .map(|p| match &p.hint {
            Some(hint) => format!("{}: {}; {hint}", p.key, p.message),
            None => format!("{}: {}", p.key, p.message),
        })
        .fold(error, Error::cause);
    match problems.iter().find(|p| manifest::KEYS.contains(&p.key.as_str())) {
        Some(p) if p.key.starts_with("source.") => {
            error.hint("give another one: --source DIR[:PATTERN]")
        }
        Some(p) => error.hint(format!("give it another value: --set {}=VALUE", p.key)),
        None => error,
    }
}
