use super::*;

const STDOUT: &str =
    "---hybridrag-a-pod.service---\n[Unit]\nX=1\n\n---hybridrag-a-app.service---\n[Service]\n---\n";

fn name() -> Name {
    "a".parse().unwrap()
}

fn judged(stderr: &str, success: bool) -> Verdict {
    let files = ["hybridrag-a.pod".to_owned(), "hybridrag-a-app.container".to_owned()];
    judge(&parse(STDOUT, stderr, success), &name(), &files.iter().collect())
}

#[test]
fn output_is_read() {
    let run = parse(
        STDOUT,
        "quadlet-generator[12]: Loading source unit file /x/hybridrag-a.pod\n\
         quadlet-generator[12]: unsupported escape char\n\
         quadlet-generator[12]: processing encountered some errors\n",
        false,
    );
    assert_eq!(
        run.services.keys().collect::<Vec<_>>(),
        ["hybridrag-a-app.service", "hybridrag-a-pod.service"]
    );
    assert_eq!(run.services["hybridrag-a-app.service"], "[Service]\n---\n");
    assert_eq!(run.messages, ["unsupported escape char"]);
}

#[test]
fn messages_are_attributed() {
    let ours = "quadlet-generator[1]: converting \"hybridrag-a-app.container\": unsupported key 'X' in group 'Container' in /s/hybridrag-a-app.container";
    let theirs = ours.replace("-a-", "-b-");
    let verdict = judged(ours, false);
    assert_eq!((verdict.against.len(), verdict.warnings.len(), verdict.doubt), (1, 0, false));
    let verdict = judged(&theirs, false);
    assert_eq!((verdict.against.len(), verdict.warnings.len(), verdict.doubt), (0, 1, false));
    let verdict = judged("quadlet-generator[1]: unsupported escape char", true);
    assert!(verdict.doubt && verdict.against.is_empty());
    assert!(judged("", false).doubt);
    assert!(!judged("", true).doubt);
}

#[test]
fn names_in_messages() {
    for (message, file) in [
        ("error loading \"/s/hybridrag-a.pod.d/10.conf\", line 3", Some("hybridrag-a.pod.d")),
        ("converting \"x.container\": pod x.pod is not quadlet based", Some("x.container")),
        ("unsupported key 'A' in /s/hybridrag-a.network", Some("hybridrag-a.network")),
        ("unsupported escape char", None),
        ("a container. in a .pod", None),
    ] {
        assert_eq!(named(message).as_deref(), file, "{message}");
    }
}

#[test]
fn services_must_be_exactly_the_wanted() {
    let files = ["hybridrag-a.pod".to_owned(), "hybridrag-a.network".to_owned()];
    let verdict = judge(&parse(STDOUT, "", true), &name(), &files.iter().collect());
    assert_eq!(verdict.missing, ["hybridrag-a-network.service".to_owned()].into());
    assert_eq!(verdict.extra, ["hybridrag-a-app.service".to_owned()].into());
    let error = refusal(&name(), &verdict);
    assert!(error.to_string().contains("makes no hybridrag-a-network.service"), "{error}");
}

#[test]
fn no_generator_is_the_hosts_fault() {
    let e = Generator::find_in(&["/nonexistent/quadlet"]).unwrap_err();
    assert_eq!(e.kind, Kind::Host);
    assert!(Generator::find_in(&["/nonexistent/quadlet", "/bin/sh"]).is_ok());
}

/// With real generators, where there are some: `RAGPOD_QUADLET` lists them, separated by colons.
#[test]
#[allow(clippy::print_stderr)]
fn real_generators_are_understood() {
    let listed = std::env::var("RAGPOD_QUADLET").unwrap_or_default();
    let mut all: Vec<Generator> =
        listed.split(':').filter(|p| !p.is_empty()).map(|p| Generator::at(p.into())).collect();
    if all.is_empty() {
        match Generator::find() {
            Ok(generator) => all.push(generator),
            Err(e) => eprintln!("SKIPPED: {e}"),
        }
    }
    all.iter().for_each(understood);
}

fn understood(generator: &Generator) {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap();
    let write = |file: &str, text: &str| std::fs::write(root.join(file), text).unwrap();
    // The last instance is taken off: nothing is left, and that is no error.
    assert_eq!(generator.check(root, &name(), &[]).unwrap(), Checked::default());
    let ours = ["hybridrag-a-app.container".to_owned(), "hybridrag-a-engine.volume".to_owned()];
    write(&ours[0], "[Container]\nImage=localhost/a:1\n");
    write(&ours[1], "[Volume]\nVolumeName=x\n");
    let checked = generator.check(root, &name(), &ours).unwrap();
    assert_eq!(checked.services.len(), 2);
    assert!(checked.warnings.is_empty(), "{checked:?}");

    // Somebody else's trouble is a warning, named or not.
    write("mine.container", "[Container]\nImage=localhost/a:1\nBogus=1\n");
    write("bad.container", "[Container]\nImage=localhost/a:1\nExec=a \\q\n");
    let checked = generator.check(root, &name(), &ours).unwrap();
    assert!(checked.warnings.iter().any(|w| w.contains("Bogus")), "{checked:?}");

    // Even where nothing of ours is left.
    let theirs = tempfile::tempdir().unwrap();
    let only_theirs = Utf8Path::from_path(theirs.path()).unwrap();
    for file in ["mine.container", "bad.container"] {
        std::fs::copy(root.join(file), only_theirs.join(file)).unwrap();
    }
    assert!(generator.check(only_theirs, &name(), &[]).unwrap().services.is_empty());

    // Ours is an error, in the generator's words; from a drop-in as well.
    std::fs::create_dir(root.join("hybridrag-a-app.container.d")).unwrap();
    write("hybridrag-a-app.container.d/1.conf", "[Container]\nNonsense=1\n");
    let e = generator.check(root, &name(), &ours).unwrap_err();
    assert!(e.to_string().contains("Nonsense"), "{e}");
    std::fs::remove_dir_all(root.join("hybridrag-a-app.container.d")).unwrap();
    write(&ours[1], "[Volume]\nNonsense=1\n");
    let e = generator.check(root, &name(), &ours).unwrap_err();
    assert!(e.to_string().contains("makes no hybridrag-a-engine-volume.service"), "{e}");
}
