//! Secrets for a backup, encrypted for whoever has the recipient's key (age-encryption.org).

use std::collections::BTreeMap;
use std::io::{Read, Write};

use age::x25519;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Kind, Result};
use crate::model::SecretKey;

/// Whom the secrets of a backup are encrypted for.
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl std::str::FromStr for Recipient {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        s.parse().map(Self).map_err(|e: &str| {
            // A secret key was given for a public one, perhaps: it is not repeated.
            Error::usage("that is no recipient of age's")
                .cause(e)
                .hint("it is the public key, age1…, that `age-keygen -y KEYFILE` prints")
        })
    }
}

/// The secrets as a member of a backup.
pub fn seal(secrets: &BTreeMap<SecretKey, SecretString>, to: &Recipient) -> Result<Vec<u8>> {
    let failed = || Error::failed("the secrets could not be encrypted");
    let plain: BTreeMap<&str, &str> =
        secrets.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
    let plain = SecretString::from(serde_json::to_string(&plain).map_err(|_| failed())?);
    let recipients = std::iter::once(&to.0 as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|_| failed())?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|_| failed())?;
    writer.write_all(plain.expose_secret().as_bytes()).map_err(|_| failed())?;
    writer.finish().map_err(|_| failed())?;
    Ok(sealed)
}

/// The keys in an identity file, as `age-keygen` writes it. `file` is what people call it.
pub fn read_identities(text: &str, file: &str) -> Result<Vec<x25519::Identity>> {
    let keys = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let keys: Vec<x25519::Identity> = keys
        .map(str::parse)
        .collect::<std::result::Result<_, &str>>()
        // The line is a key, or nearly: it is not repeated.
        .map_err(|e| no_identity(file).cause(e))?;
    if keys.is_empty() { Err(no_identity(file)) } else { Ok(keys) }
}

fn no_identity(file: &str) -> Error {
    Error::new(Kind::Usage, format!("{file} is no identity file of age's"))
        .hint("it is the file that `age-keygen -o FILE` wrote: AGE-SECRET-KEY-1…")
}

/// The secrets of a backup.
///
/// # Errors
/// [`Kind::Failed`] when none of the keys opens it.
pub fn unseal(
    sealed: impl Read,
    keys: &[x25519::Identity],
) -> Result<BTreeMap<SecretKey, SecretString>> {
    let failed = |why: &str| {
        Error::failed("the secrets of the backup could not be decrypted")
            .cause(why)
            .hint("give the identity that they were encrypted for: --identity FILE")
    };
    // age's own words come from files that a debug build looks for beside its source.
    let refused = |e: age::DecryptError| match e {
        age::DecryptError::NoMatchingKeys => failed("they are for another key"),
        age::DecryptError::Io(e) => failed(&e.to_string()),
        _ => failed("they are not as age wrote them"),
    };
    let decryptor = age::Decryptor::new(sealed).map_err(refused)?;
    let keys = keys.iter().map(|key| key as &dyn age::Identity);
    let mut reader = decryptor.decrypt(keys).map_err(refused)?;
    let mut plain = String::new();
    reader.read_to_string(&mut plain).map_err(|e| failed(&e.to_string()))?;
    let plain = SecretString::from(plain);
    // What serde says of a wrong value may have it in it.
    let all: BTreeMap<SecretKey, String> = serde_json::from_str(plain.expose_secret())
        .map_err(|_| Error::failed("the secrets of the backup are not in ragpod's form"))?;
    Ok(all.into_iter().map(|(key, value)| (key, value.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recipient_reads_it() {
        let (one, other) = (x25519::Identity::generate(), x25519::Identity::generate());
        let to: Recipient = one.to_public().to_string().parse().unwrap();
        let secrets = [(SecretKey::api_key(), SecretString::from("s3cret-value"))].into();
        let sealed = seal(&secrets, &to).unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"s3cret"));
        let file = format!("# made today\n{}\n", one.to_string().expose_secret());
        let keys = read_identities(&file, "f").unwrap();
        let back = unseal(&sealed[..], &keys).unwrap();
        assert_eq!(back[&SecretKey::api_key()].expose_secret(), "s3cret-value");
        assert!(unseal(&sealed[..], &[other]).is_err());
        let mut broken = sealed;
        *broken.last_mut().unwrap() ^= 1;
        assert!(unseal(&broken[..], &keys).is_err());
    }

    #[test]
    fn a_wrong_key_is_not_repeated() {
        let secret = x25519::Identity::generate().to_string();
        let secret = secret.expose_secret();
        let e = secret.parse::<Recipient>().err().unwrap();
        assert!(!format!("{e:?}").contains(&secret[15..]), "{e:?}");
        for text in ["", "# nothing", &secret[..30]] {
            let e = read_identities(text, "f").err().unwrap();
            assert!(!format!("{e:?}").contains("KEY-1Q"), "{e:?}");
        }
    }
}
