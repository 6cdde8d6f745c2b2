//! Decides from the recorded `password_version` whether a password has to be set. Pure.

use std::collections::BTreeSet;

use super::Inventory;
use crate::address::Address;
use crate::digest::Fingerprint;

/// The version that is recorded for a password that was set without a version in the spec.
pub(crate) const UNNAMED_VERSION: u32 = 0;

/// Encodes a version as a fingerprint, because the inventory has only digests. Versions are compared by
/// order, so it is the number itself.
pub(crate) fn version_print(version: u32) -> Fingerprint {
    Fingerprint::parse(&format!("{version:032x}")).unwrap_or_else(|| Fingerprint::of_text("0"))
}

/// Decodes a version.
fn version_of(print: Fingerprint) -> Option<u32> {
    u32::from_str_radix(&print.to_string(), 16).ok()
}

/// The inventory key of an account or role.
pub(crate) fn account_key(name: &str) -> Fingerprint {
    Fingerprint::of_text(name)
}

/// The facts about passwords that a plan needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passwords {
    /// Whether the bookkeeping has recorded a complete run. Before that, a password may have been set for
    /// its version without a record.
    pub(crate) is_established: bool,
    /// The steps that this run completed, for the plan that verifies it.
    pub(crate) completed: BTreeSet<Address>,
}

impl Passwords {
    /// Decides about the password of an existing account.
    pub(crate) fn asked(
        &self,
        wanted: Option<u32>,
        (address, name): (&Address, &str),
        inventory: &Inventory,
    ) -> Versioned {
        let recorded = inventory.at(address).and_then(|keys| keys.get(&account_key(name)));
        Versioned::new(wanted, recorded.and_then(|print| version_of(*print)), self.is_established)
    }
}

/// What the version in the spec requires for an existing account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioned {
    /// Nothing: the spec has no version, or the password was set for it.
    Settled,
    /// Set the password: the spec has a version for the first time.
    Named,
    /// Set the password: the version was raised.
    Raised,
    /// Only record the version. The bookkeeping is new or was lost, so the password may have been set for
    /// this version already.
    Unrecorded,
}

impl Versioned {
    fn new(wanted: Option<u32>, recorded: Option<u32>, is_established: bool) -> Self {
        match (wanted, recorded) {
            (None, _) => Self::Settled,
            (Some(_), None) if is_established => Self::Named,
            (Some(_), None) => Self::Unrecorded,
            (Some(wanted), Some(recorded)) if wanted <= recorded => Self::Settled,
            (Some(_), Some(UNNAMED_VERSION)) => Self::Named,
            (Some(_), Some(_)) => Self::Raised,
        }
    }

    pub(crate) fn sets_password(self) -> bool {
        matches!(self, Self::Named | Self::Raised)
    }

    /// The reason of the planned change.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Settled => None,
            Self::Named => Some("password_version is new"),
            Self::Raised => Some("password_version raised"),
            Self::Unrecorded => Some("password_version is not recorded"),
        }
    }
}

/// A note that lists passwords that cannot be compared and are kept.
pub(crate) fn note_uncompared(addresses: &BTreeSet<Address>) -> Option<String> {
    const SHOWN: usize = 5;
    let shown = addresses.iter().take(SHOWN).map(Address::as_str).collect::<Vec<_>>().join(", ");
    let (noun, is) = if addresses.len() == 1 { ("password", "is") } else { ("passwords", "are") };
    let more = match addresses.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!addresses.is_empty()).then(|| {
        format!(
            "{noun} that cannot be compared with the spec's {is} left as {it}: {shown}{more}; a new or raised \
             `password_version` sets one again",
            it = if addresses.len() == 1 { "it is" } else { "they are" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Kind;

    #[test]
    fn a_version_asks_for_a_password_when_it_is_new_or_raised() {
        for (wanted, recorded, is_established, expected) in [
            (None, Some(3), true, Versioned::Settled),
            (Some(1), Some(UNNAMED_VERSION), false, Versioned::Named),
            (Some(1), None, true, Versioned::Named),
            (Some(1), None, false, Versioned::Unrecorded),
            (Some(1), Some(1), true, Versioned::Settled),
            (Some(2), Some(1), true, Versioned::Raised),
            (Some(0), Some(UNNAMED_VERSION), true, Versioned::Settled),
            (Some(1), Some(2), true, Versioned::Settled),
        ] {
            assert_eq!(Versioned::new(wanted, recorded, is_established), expected, "{wanted:?} {recorded:?}");
        }
    }

    #[test]
    fn a_note_names_some_of_many_accounts() {
        let addresses = (1..=7).map(|number| Kind::User.named(format!("u{number}"))).collect();
        let note = note_uncompared(&addresses).unwrap();
        assert!(note.contains("system.user.u5 and 2 more"), "{note}");
        assert_eq!(note_uncompared(&BTreeSet::new()), None);
    }
}
