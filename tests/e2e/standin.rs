//! A provider on a host of its own: `standin.py` in a network namespace of the test host.

use std::sync::Mutex;

use sha2::{Digest, Sha256};

use crate::host::{Ran, root, root_with, run};

const DIR: &str = "/run/ragpod-standin";
/// Its address. Its names are `api.test` and `other.test`.
pub const ADDRESS: &str = "10.99.0.2";
/// The length of its vectors.
const DIMENSION: &str = "64";

/// Makes sure that it is there; `false` where the tests run on the machine itself.
pub fn ready() -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let program = include_bytes!("standin.py");
    match root_with(include_str!("standin.sh"), &[DIR], program) {
        None => {
            eprintln!("not tried: there is no host to put a provider on");
            false
        }
        Some(ran) => {
            ran.ok();
            true
        }
    }
}

/// What it was asked: `PORT HOST METHOD PATH HASH-OF-KEY`, a line each; `cut MODEL` for a stream that
/// its reader did not want to the end.
pub fn requests() -> String {
    root(&format!("cat {DIR}/requests")).unwrap().ok().out
}

/// A model that takes its time, as long as this lives.
pub struct Delay(String);

/// How long each answer of a model takes from now on.
pub fn delay(model: &str, seconds: u32) -> Delay {
    let file = format!("{DIR}/delay-{model}");
    root(&format!("echo {seconds} > {file}")).unwrap().ok();
    Delay(file)
}

impl Drop for Delay {
    fn drop(&mut self) {
        drop(root(&format!("rm -f {}", self.0)));
    }
}

/// Puts the certificate of its authority where the user has it; gives the path.
pub fn ca_file() -> String {
    let copy =
        format!("mkdir -p ~/ragpod-e2e; cp {DIR}/ca.pem ~/ragpod-e2e/; echo ~/ragpod-e2e/ca.pem");
    run(&["bash", "-euc", &copy]).ok().out.trim().to_owned()
}

/// Options of `create` for a provider that speaks a protocol at an address.
pub fn options(kind: &str, url: &str) -> Vec<String> {
    options_with_model(kind, url, "chat")
}

/// The same for a model of its own: what the first part of its name means is in `standin.py`.
pub fn options_with_model(kind: &str, url: &str, model: &str) -> Vec<String> {
    let set = |key: &str, value: &str| ["--set".to_owned(), format!("provider.{key}={value}")];
    let mut options = vec!["--provider".to_owned(), kind.to_owned()];
    options.extend(set("base_url", url));
    options.extend(set("llm_model", model));
    options.extend(set("embedding_model", "vectors"));
    options.extend(set("embedding_dim", DIMENSION));
    options
}

/// How it notes a key.
pub fn proof(key: &[u8]) -> String {
    Sha256::digest(key).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What it was asked since it had been asked this.
pub fn since(before: &str) -> String {
    requests().strip_prefix(before).unwrap_or_default().to_owned()
}

/// The same with a key alone: what a test has a key of its own for, because all tests ask it.
pub fn since_with(before: &str, key: &[u8]) -> String {
    let (asked, key) = (since(before), proof(key));
    asked.lines().filter(|line| line.ends_with(&key)).map(|line| format!("{line}\n")).collect()
}

/// The addresses of a container on its networks.
pub fn addresses(container: &str) -> Vec<String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let ran: Ran = run(&["podman", "container", "inspect", container, "--format", format]).ok();
    ran.out.split_whitespace().map(str::to_owned).collect()
}
