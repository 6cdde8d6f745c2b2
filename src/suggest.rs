//! Suggestions for misspelt names, and lists of valid names.

/// The known name that is most similar to a wrong one, if it is similar enough to be a typo.
pub(crate) fn nearest<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = wrong.to_lowercase();
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name));
    // Ties are resolved alphabetically, whatever the order of the input.
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))?;
    (best.0 > 0.75).then_some(best.1)
}

/// `did you mean …?`, if a known name is similar enough.
pub(crate) fn meant<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(wrong, known).map(|name| format!("did you mean `{name}`?"))
}

/// `a`, `b`, `c`; long lists are truncated.
pub(crate) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 24;
    let names: Vec<&str> = names.into_iter().collect();
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.push(format!("and {} more", names.len() - SHOWN));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// The help text for a name that is not declared.
pub(crate) fn declared<'n>(wrong: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? declared: {}", one_of(known)),
        None => format!("declared: {}", one_of(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_be_meant_are_suggested() {
        assert_eq!(nearest("migration", ["url", "migrations", "order"]), Some("migrations"));
        assert_eq!(nearest("qqq", ["url", "migrations"]), None);
    }
}
