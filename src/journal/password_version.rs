//! What the bookkeeping knows of a password: which `password_version` it was set for. Pure.

use std::collections::BTreeSet;

use super::Inventory;
use crate::address::Address;
use crate::digest::Fingerprint;

/// What is recorded for a password that was set while the spec named no version.
pub(crate) const UNNAMED_VERSION: u32 = 0;

/// The password version as the inventory keeps it in place of a content's digest: the number
/// itself, which must be compared and not only be equal.
pub(crate) fn version_print(version: u32) -> Fingerprint {
    Fingerprint::parse(&format!("{version:032x}")).unwrap_or_else(|| Fingerprint::of_text("0"))
}

/// The password version that a digest of the inventory stands for.
fn version_of(print: Fingerprint) -> Option<u32> {
    u32::from_str_radix(&print.to_string(), 16).ok()
}

/// The key that the name of an account or a role is in the inventory.
pub(crate) fn account_key(name: &str) -> Fingerprint {
    Fingerprint::of_text(name)
}

/// What is known of all passwords before a plan is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passwords {
    /// Whether the bookkeeping has recorded a whole run. Until then, a password may have been set for its
    /// version although nothing says so.
    pub(crate) is_established: bool,
    /// What this run did before it looked again.
    pub(crate) completed: BTreeSet<Address>,
}

impl Passwords {
    /// What a version asks for, of the account with a name that was put at an address.
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

/// What the version in the spec asks for, where the account is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioned {
    /// Nothing: none is named, or the password was set for it.
    Settled,
    /// To set the password: the first version that is named for it.
    Named,
    /// To set the password: it was set for an earlier version.
    Raised,
    /// To record the version alone. The bookkeeping was lost or is new, and the password may have
    /// been set for this version already.
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

    /// Whether the password is set.
    pub(crate) fn sets_password(self) -> bool {
        matches!(self, Self::Named | Self::Raised)
    }

    /// Why something is planned for it.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Settled => None,
            Self::Named => Some("password_version is new"),
            Self::Raised => Some("password_version raised"),
            Self::Unrecorded => Some("password_version is not recorded"),
        }
    }
}

/// Says that passwords which nothing can compare are left as they are.
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
