//! Podman's version, which decides the keys that a unit may have.

use std::fmt;
use std::str::FromStr;

/// A version of Podman. Pre-release and vendor suffixes (`5.4.2-dev`, `5.4.2+ds1`) are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodmanVersion {
    /// `5` in 5.4.2.
    pub major: u16,
    /// `4` in 5.4.2.
    pub minor: u16,
    /// `2` in 5.4.2.
    pub patch: u16,
}

impl PodmanVersion {
    /// The oldest that ragpod works with: the first with `.pod` units.
    pub const OLDEST: Self = Self::new(5, 0, 0);
    /// What `render` assumes when neither the host nor `--podman` tells.
    pub const ASSUMED: Self = Self::new(5, 4, 0);

    /// A version by its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether this is at least `major.minor.0`.
    #[must_use]
    pub fn has(self, major: u16, minor: u16) -> bool {
        self >= Self::new(major, minor, 0)
    }
}

/// Which distributions have [`PodmanVersion::OLDEST`] or a newer one: what is told of an older one.
pub const NEW_ENOUGH: &str = "Debian 13 (5.4), Ubuntu 26.04 (5.7), Fedora 42 or later (5.8), RHEL and its kin 9.5 (5.2), 9.6 \
     and 10.0 (5.4) or later";

impl FromStr for PodmanVersion {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("{s:?} is no Podman version; write it like 5.4 or 5.4.2");
        let core = s.split(['-', '+', '~']).next().unwrap_or_default();
        let mut numbers = core.split('.').map(str::parse::<u16>);
        let mut next = || numbers.next().transpose().map_err(|_| bad());
        let (major, minor, patch) = (next()?, next()?, next()?);
        if numbers.next().is_some() {
            return Err(bad());
        }
        Ok(Self {
            major: major.ok_or_else(bad)?,
            minor: minor.ok_or_else(bad)?,
            patch: patch.unwrap_or(0),
        })
    }
}

impl fmt::Display for PodmanVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_and_ordered() {
        let v = |s: &str| s.parse::<PodmanVersion>().unwrap();
        assert_eq!(v("5.4"), PodmanVersion::new(5, 4, 0));
        assert_eq!(v("5.4.2+ds1-2"), PodmanVersion::new(5, 4, 2));
        assert!(v("5.10.0") > v("5.9.9"));
        assert!(v("5.4.2").has(5, 4) && !v("5.4.2").has(5, 5));
        for bad in ["", "5", "x.y", "5.4.2.1", "5..1", "99999.1"] {
            assert!(bad.parse::<PodmanVersion>().is_err(), "{bad:?}");
        }
    }
}
