//! A rule: its name, which people and policies use, and the risk of what it matches.

use crate::change::Risk;

#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// In lower case with dashes.
    pub name: &'static str,
    /// The risk of a statement that matches the rule.
    pub risk: Risk,
    pub description: &'static str,
}
