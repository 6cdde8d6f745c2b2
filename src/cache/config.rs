//! Compares settings by the rules with which Redis parses them, so that equivalent values do not
//! differ. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Secret settings are never observed and never changed.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("pass") || matches!(key.as_str(), "masterauth" | "primaryauth")
}

/// The number of dbs of a server.
pub(super) fn databases(config: &BTreeMap<String, String>) -> Option<u32> {
    // Valkey 9 has a separate setting for clusters.
    let is_cluster = config.get("cluster-enabled").is_some_and(|enabled| enabled == "yes");
    let key = if is_cluster { "cluster-databases" } else { "databases" };
    config.get(key)?.parse().ok()
}

/// Whether the value of the spec and the one that the server reports are equivalent.
pub(super) fn is_same(key: &str, wanted: &str, seen: &str) -> bool {
    match key {
        "notify-keyspace-events" => event_classes(wanted) == event_classes(seen),
        // The server reports all client classes, but a spec may set one of them.
        "client-output-buffer-limit" => buffer_limits(wanted).is_subset(&buffer_limits(seen)),
        _ => words(key, wanted) == words(key, seen),
    }
}

/// Converts a size in bytes to the largest unit without a remainder, where the spec has a size with a unit.
/// Other values are returned unchanged.
pub(super) fn as_written(seen: &str, wanted: &str) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    let Some(bytes) = seen.parse::<u64>().ok().filter(|bytes| *bytes > 0) else { return seen.to_owned() };
    if memory_bytes(wanted).is_none() {
        return seen.to_owned();
    }
    match UNITS.iter().find(|(size, _)| bytes.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => seen.to_owned(),
    }
}

fn words(key: &str, value: &str) -> Vec<String> {
    value.split_whitespace().map(|word| memory_bytes(word).unwrap_or_else(|| folded(key, word))).collect()
}

/// Redis compares words of enumerations case-insensitively, but not paths and texts.
fn folded(key: &str, word: &str) -> String {
    let is_text = matches!(key, "dir" | "dbfilename" | "logfile" | "pidfile" | "unixsocket" | "bind")
        || key.ends_with("-file")
        || key.ends_with("filename")
        || key.ends_with("dirname")
        || key.ends_with("-dir")
        || key.ends_with("-template");
    if is_text { word.to_owned() } else { word.to_ascii_lowercase() }
}

/// Parses sizes such as `256mb` to bytes: `kb` is 1024 bytes, `k` is 1000.
fn memory_bytes(word: &str) -> Option<String> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = word.split_at_checked(digits)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(|bytes| bytes.to_string())
}

/// The event classes; `A` stands for all common ones.
fn event_classes(value: &str) -> BTreeSet<char> {
    const ALL: &str = "g$lshzxetd";
    value
        .chars()
        .flat_map(|class| {
            if class == 'A' { ALL.to_owned() } else { class.to_string() }.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// Parses groups of four words, `class hard soft seconds`; `slave` is the old name of `replica`.
fn buffer_limits(value: &str) -> BTreeSet<Vec<String>> {
    let words: Vec<String> = words("client-output-buffer-limit", value)
        .into_iter()
        .map(|word| if word == "slave" { "replica".to_owned() } else { word })
        .collect();
    words.chunks(4).map(<[String]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_the_unit_of_people() {
        for (seen, wanted, shown) in [
            ("268435456", "1gb", "256mb"),
            ("1073741824", "64mb", "1gb"),
            ("1000", "64mb", "1000"),
            ("0", "64mb", "0"),
            ("268435456", "noeviction", "268435456"),
            ("300", "400", "300"),
        ] {
            assert_eq!(as_written(seen, wanted), shown, "{seen} {wanted}");
        }
    }

    #[test]
    fn memory_sizes_are_compared_in_bytes() {
        assert!(is_same("maxmemory", "256mb", "268435456"));
        assert!(is_same("maxmemory", "1G", "1000000000"));
        assert!(!is_same("maxmemory", "256m", "268435456"));
        assert!(!is_same("maxmemory", "99999999999999gb", "0"));
    }

    #[test]
    fn enumerations_ignore_case_and_paths_do_not() {
        assert!(is_same("maxmemory-policy", "Volatile-LRU", "volatile-lru"));
        assert!(is_same("appendonly", "YES", "yes"));
        assert!(!is_same("dir", "/Data", "/data"));
    }

    #[test]
    fn save_points_may_be_written_with_any_space() {
        assert!(is_same("save", "900  1 300 10", "900 1 300 10"));
        assert!(is_same("save", "", ""));
        assert!(!is_same("save", "", "900 1"));
    }

    #[test]
    fn keyspace_events_are_a_set() {
        assert!(is_same("notify-keyspace-events", "Ex", "xE"));
        assert!(is_same("notify-keyspace-events", "KEA", "AKE"));
        assert!(!is_same("notify-keyspace-events", "Ex", "xK"));
    }

    #[test]
    fn one_class_of_buffer_limits_is_compared_alone() {
        let seen = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert!(is_same("client-output-buffer-limit", "pubsub 32mb 8mb 60", seen));
        assert!(is_same("client-output-buffer-limit", "replica 256mb 64mb 60", seen));
        assert!(!is_same("client-output-buffer-limit", "pubsub 64mb 8mb 60", seen));
    }

    #[test]
    fn passwords_are_secret_settings() {
        assert!(is_secret("requirepass") && is_secret("masterauth") && is_secret("tls-key-file-pass"));
        assert!(!is_secret("maxmemory") && !is_secret("tls-auth-clients"));
    }

    #[test]
    fn a_cluster_has_db_numbers_of_its_own() {
        let config = |pairs: &[(&str, &str)]| {
            databases(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(
            config(&[("databases", "16"), ("cluster-databases", "1"), ("cluster-enabled", "no")]),
            Some(16)
        );
        assert_eq!(
            config(&[("databases", "16"), ("cluster-databases", "4"), ("cluster-enabled", "yes")]),
            Some(4)
        );
        assert_eq!(config(&[("databases", "16"), ("cluster-enabled", "yes")]), None);
        assert_eq!(config(&[]), None);
    }
}
