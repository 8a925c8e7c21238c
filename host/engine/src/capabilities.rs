//! Capabilities: what a plugin may use of the host, one file each. Denied unless granted.

pub(crate) mod clock;
pub(crate) mod kv;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod random;

use std::fmt;

/// One thing a pipeline file can grant a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Lines in the host's log.
    Log,
    /// Metrics of its own.
    Metrics,
    /// The time, beyond the receive time of a batch.
    Clock,
    /// Random bytes of the system.
    Random,
    /// State that outlives a message.
    Kv,
}

impl Capability {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Log, Self::Metrics, Self::Clock, Self::Random, Self::Kv];

    /// Its name in pipeline files and descriptions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Kv => "kv",
        }
    }

    /// The capability of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The capabilities granted to one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants(u8);

impl Grants {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// One more.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | (1 << capability as u8))
    }

    /// One less.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability as u8))
    }

    /// The line of a stage that grants these, beside what is granted by default.
    pub(crate) fn line(self) -> String {
        let given =
            |capability: &Capability| self.has(*capability) && !Self::default().has(*capability);
        let names: Vec<_> = Capability::ALL
            .iter()
            .filter(|one| given(one))
            .map(|one| format!("\"{one}\""))
            .collect();
        format!("grant = [{}]", names.join(", "))
    }

    /// Whether it is granted.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }
}

/// `log` and `metrics`.
impl Default for Grants {
    fn default() -> Self {
        Self::NONE.with(Capability::Log).with(Capability::Metrics)
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_grants() {
        for capability in Capability::ALL {
            assert_eq!(Capability::from_name(capability.name()), Some(capability));
            assert!(Grants::NONE.with(capability).has(capability));
            assert_eq!(Grants::NONE.with(capability).without(capability), Grants::NONE);
        }
        assert_eq!(Capability::from_name("http"), None);
        assert_eq!(Grants::default(), [Capability::Log, Capability::Metrics].into_iter().collect());
    }
}
