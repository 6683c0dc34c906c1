//! `[backup]`: how many backups are kept, and who may read the secrets in them.

use std::fmt;
use std::str::FromStr;

/// `[backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// How many backups are kept in the instance's own directory, 1 to 1,000.
    pub keep: u16,
    /// Whom secrets are encrypted for, when they are to be in a backup.
    pub recipient: Option<AgeRecipient>,
}

impl Backup {
    /// How many are kept when nobody says otherwise.
    pub const KEEP: u16 = 7;
}

impl Default for Backup {
    fn default() -> Self {
        Self { keep: Self::KEEP, recipient: None }
    }
}

/// A public key of age's: `age1` and 58 letters and digits. Whether it is one, age knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgeRecipient(String);

impl FromStr for AgeRecipient {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // A secret key that was written here is not repeated.
        const WHY: &str = "it is no public key of age's: age1…, as `age-keygen -y` prints it";
        let rest = s.strip_prefix("age1").ok_or(WHY)?;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if rest.len() == 58 && rest.bytes().all(good) { Ok(Self(s.to_owned())) } else { Err(WHY) }
    }
}

impl AgeRecipient {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_alone_are_recipients() {
        let good = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        assert!(good.parse::<AgeRecipient>().is_ok());
        for bad in ["", "age1", "AGE-SECRET-KEY-1QQ", &good[1..], &format!("{good}a")] {
            let e = bad.parse::<AgeRecipient>().unwrap_err();
            assert!(!e.contains("SECRET"), "{e}");
        }
    }
}
