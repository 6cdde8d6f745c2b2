//! Computes the digest of a spec: its merged tree, with placeholders in place of secrets, and the
//! contents of the files that it names. The order of keys and the location of files do not matter.

use std::collections::HashSet;

use super::interpolate::placeholder;
use super::mask;
use super::yaml::tree::{Entry, Node, NodeKind, Span};
use crate::digest::Digest;

/// Returns the digest of a merged tree, with secrets at the given locations, and of named contents.
pub(super) fn spec_digest(root: &Node, secrets: &HashSet<Span>, contents: &[(String, Digest)]) -> Digest {
    let mut text = String::new();
    write(root, secrets, &mut text);
    for (name, digest) in contents {
        framed(name, &mut text);
        framed(digest.as_str(), &mut text);
    }
    Digest::of(text)
}

/// Prefixes each text with its length, so that different trees never have the same encoding.
fn framed(part: &str, text: &mut String) {
    text.push_str(&part.len().to_string());
    text.push(':');
    text.push_str(part);
}

fn write(node: &Node, secrets: &HashSet<Span>, text: &mut String) {
    match &node.kind {
        _ if node.is_null() => text.push('~'),
        NodeKind::Scalar { text: scalar, .. } if secrets.contains(&node.at) => {
            framed(&placeholder(scalar), text);
        }
        NodeKind::Scalar { text: scalar, .. } => framed(&mask::written_url(scalar), text),
        NodeKind::Seq(items) => {
            text.push('[');
            for item in items {
                write(item, secrets, text);
            }
            text.push(']');
        }
        NodeKind::Map(entries) => {
            let mut entries: Vec<&Entry> = entries.iter().collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            text.push('{');
            for entry in entries {
                framed(&entry.key, text);
                write(&entry.value, secrets, text);
            }
            text.push('}');
        }
    }
}
