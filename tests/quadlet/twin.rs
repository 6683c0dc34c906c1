//! A random case beside one with tame values: what a generator makes of both must differ in the values
//! alone, or a value became something else.

use super::argv;
use super::expect::plain_path;
use super::random::{Case, URL};

/// The same case with tame values, and what stands for what: whatever a generator makes of both
/// differs in the values alone.
pub fn twin(case: &Case) -> (Case, Vec<(String, String)>) {
    let mut twin = case.clone();
    let mut stands_for = Vec::new();
    let mut tame = |value: &mut String, before: &str| {
        let token = format!("{before}zq{}q", stands_for.len());
        let was = std::mem::replace(value, token.clone());
        stands_for.push((token, was));
    };
    if let Some(url) = twin.base_url.as_mut().filter(|u| u.starts_with(URL)) {
        tame(url, URL);
    }
    for text in twin.api_version.iter_mut().chain(twin.models.iter_mut().flatten()) {
        tame(text, "");
    }
    for (_, value) in &mut twin.env {
        tame(value, "");
    }
    for (i, source) in twin.sources.iter_mut().enumerate() {
        if i == 0 || source.name.is_some() {
            source.path = plain_path(&source.path);
            tame(&mut source.path, "/srv/");
        }
    }
    if let Some(ca) = &mut twin.ca_file {
        *ca = plain_path(ca);
        tame(ca, "/srv/");
    }
    (twin, stands_for)
}

/// What a service is made of, in a form in which two of them can be compared: of the sections that
/// systemd reads each key with its values, commands as their words.
pub fn anatomy(service: &str, stands_for: &[(String, String)]) -> Vec<String> {
    let mut all = Vec::new();
    let mut section = "";
    for line in service.lines().filter(|l| !l.is_empty() && !l.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        }
        // The generator's copy of the unit, which systemd leaves alone.
        if section.starts_with("X-") {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let value = match key {
            // Where the file lies, and Podman's way of writing the paths of mounts.
            "SourcePath" | "RequiresMountsFor" => String::new(),
            _ if key.starts_with("Exec") => words(value, stands_for),
            _ => value.to_owned(),
        };
        all.push(format!("[{section}] {key}={value}"));
    }
    all
}

/// A command's words in an order of their own, because the generators' is random: options together
/// with what follows them.
fn words(command: &str, stands_for: &[(String, String)]) -> String {
    let argv = argv::of_exec(command).unwrap_or_else(|| panic!("systemd cannot read {command}"));
    let mut options: Vec<Vec<String>> = Vec::new();
    let mut mount = false;
    for word in argv {
        let fields = if mount { argv::of_csv(&word).expect("a record") } else { vec![word] };
        mount = fields[0] == "--mount";
        let fields = fields.into_iter().map(|field| {
            let of = |field: String, (token, value): &(String, String)| field.replace(token, value);
            stands_for.iter().fold(field, of)
        });
        let fields: Vec<String> = fields.collect();
        match options.last_mut() {
            Some(option)
                if option.len() == 1
                    && option[0].starts_with('-')
                    && !fields[0].starts_with('-') =>
            {
                option.extend(fields);
            }
            _ => options.push(fields),
        }
    }
    options.sort();
    format!("{options:?}")
}
