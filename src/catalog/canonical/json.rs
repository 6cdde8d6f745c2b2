//! Canonical JSON documents. Scans the text itself, because a parser that reads numbers as `f64` would
//! change long ones. Pure.

use std::collections::BTreeMap;

use super::number;

/// Documents with deeper nesting are kept unchanged.
const DEPTH: usize = 128;

/// Compact, with sorted keys, the last of equal keys (as in `jsonb`), and canonical numbers.
pub(super) fn document(text: &str) -> Option<String> {
    // serde_json checks that the text is valid, so the scan below can be simple.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut walk = Walk { rest: text };
    let value = walk.value(DEPTH)?;
    walk.skip_space();
    walk.rest.is_empty().then_some(value)
}

/// The items of a list, each in the form of [`document`].
pub(super) fn items(text: &str) -> Option<Vec<String>> {
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text).ok()?;
    let mut walk = Walk { rest: text };
    walk.skip_space();
    walk.items(DEPTH)
}

struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    fn value(&mut self, depth: usize) -> Option<String> {
        self.skip_space();
        match self.rest.chars().next()? {
            '{' => self.object(depth.checked_sub(1)?),
            '[' => Some(format!("[{}]", self.items(depth.checked_sub(1)?)?.join(","))),
            '"' => self.string().and_then(|text| serde_json::to_string(&text).ok()),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
                let word = self.take(end)?;
                Some(number::decimal(word).filter(|_| word != "null").unwrap_or_else(|| word.to_owned()))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<String> {
        let mut members = BTreeMap::new();
        self.take(1)?;
        while !self.closed('}')? {
            let key = self.string()?;
            self.skip_space();
            self.take(1)?;
            members.insert(key, self.value(depth)?);
        }
        let member = |(key, value): (&String, &String)| {
            serde_json::to_string(key).ok().map(|key| format!("{key}:{value}"))
        };
        let members: Option<Vec<String>> = members.iter().map(member).collect();
        Some(format!("{{{}}}", members?.join(",")))
    }

    fn items(&mut self, depth: usize) -> Option<Vec<String>> {
        let mut items = Vec::new();
        self.take(1)?;
        while !self.closed(']')? {
            items.push(self.value(depth)?);
        }
        Some(items)
    }

    /// Whether the list ends here. Skips a comma before the next item.
    fn closed(&mut self, bracket: char) -> Option<bool> {
        self.skip_space();
        let next = self.rest.chars().next()?;
        if next == bracket || next == ',' {
            self.take(1)?;
            self.skip_space();
        }
        Some(next == bracket)
    }

    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let quoted = self.take(end?.0 + 1)?;
        serde_json::from_str(quoted).ok()
    }

    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}
