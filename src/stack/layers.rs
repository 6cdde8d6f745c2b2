//! Merges a file with the files that it extends: maps merge key by key, scalars and lists replace,
//! `null` removes. Every node keeps its file, and its relative paths are resolved from there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::context::{Context, Yaml};
use super::error::{Code, Reported, SpecError};
use super::yaml::tree::{Entry, Node, NodeKind, Span};

/// Environments extend two or three files; a longer chain is a mistake.
const MAX_LAYERS: usize = 16;

/// Returns the merged tree of a file and its layers, and reports errors.
pub(super) fn load(cx: &Context<'_>, file: &Path) -> Option<Node> {
    let mut layers: Vec<Node> = Vec::new();
    let mut chain: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut next = Some((file.to_owned(), None));
    while let Some((path, named_at)) = next {
        if let Some(at) = named_at
            && let Some(error) = circle(cx, &chain, &path, at)
        {
            cx.report(error);
            return None;
        }
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let (index, root) = cx.yaml(&path, named_at, Yaml::Spec)?;
        chain.push((path, real));
        let mut root = map_of(cx, index, root)?;
        next = extends(cx, &mut root).ok()?;
        layers.push(root);
    }
    let mut layers = layers.into_iter().rev();
    let mut merged = layers.next()?;
    for overlay in layers {
        warn_of_dropped_policies(cx, &merged, &overlay);
        merged = merge(merged, overlay);
    }
    Some(merged)
}

fn map_of(cx: &Context<'_>, index: u32, root: Option<Node>) -> Option<Node> {
    const HELP: &str = "a spec begins with `version: 1`";
    match root {
        Some(root) if matches!(root.kind, NodeKind::Map(_)) => Some(root),
        Some(root) if !root.is_null() => {
            cx.fail(Code::WrongType, root.at, "a spec is a map", "this is none", HELP);
            None
        }
        _ => {
            cx.fail(Code::MissingKey, Span::new(index, &(0..0)), "the file is empty", "nothing here", HELP);
            None
        }
    }
}

/// A file of the chain, with the location that names it.
type Layer = (PathBuf, Option<Span>);

/// Removes `extends` from the tree and returns the next layer.
fn extends(cx: &Context<'_>, root: &mut Node) -> Result<Option<Layer>, Reported> {
    let NodeKind::Map(entries) = &mut root.kind else { return Ok(None) };
    let Some(position) = entries.iter().position(|entry| &*entry.key == "extends") else { return Ok(None) };
    let Entry { value, .. } = entries.remove(position);
    match &value.kind {
        _ if value.is_null() => Ok(None),
        NodeKind::Scalar { text, .. } => {
            let text = cx.text(value.at, text).ok_or(Reported)?;
            Ok(Some((cx.path(value.at, &text), Some(value.at))))
        }
        NodeKind::Seq(_) | NodeKind::Map(_) => {
            let help = "a file extends one other, which may extend a third";
            cx.fail(Code::WrongType, value.at, "`extends` takes the path of one file", "this value", help);
            Err(Reported)
        }
    }
}

fn circle(cx: &Context<'_>, chain: &[(PathBuf, PathBuf)], path: &Path, at: Span) -> Option<SpecError> {
    let real = path.canonicalize().ok()?;
    let begins = chain.iter().position(|(_, known)| *known == real);
    let shown = |from: usize| {
        let names = chain.iter().skip(from).map(|(path, _)| path.display().to_string());
        names.chain([path.display().to_string()]).collect::<Vec<_>>().join(" → ")
    };
    if let Some(begins) = begins {
        let message = format!("the files extend each other in a circle: {}", shown(begins));
        let help = "the base must not extend what builds on it";
        return Some(SpecError::new(Code::Cycle, message).at(cx.at(at), "closes the circle").help(help));
    }
    (chain.len() >= MAX_LAYERS).then(|| {
        let message = format!("more than {MAX_LAYERS} files extend each other: {}", shown(0));
        SpecError::new(Code::TooComplex, message).at(cx.at(at), "one too many").help("merge some of them")
    })
}

/// Merges the overlay into the base.
fn merge(base: Node, overlay: Node) -> Node {
    match (base, overlay) {
        (Node { kind: NodeKind::Map(base), .. }, Node { kind: NodeKind::Map(overlay), at }) => {
            Node { kind: NodeKind::Map(merge_entries(base, overlay)), at }
        }
        (_, overlay) => overlay,
    }
}

fn merge_entries(base: Vec<Entry>, overlay: Vec<Entry>) -> Vec<Entry> {
    let mut places: HashMap<Box<str>, usize> = HashMap::with_capacity(base.len());
    let mut merged: Vec<Option<Entry>> = Vec::with_capacity(base.len() + overlay.len());
    for entry in base {
        places.insert(entry.key.clone(), merged.len());
        merged.push(Some(entry));
    }
    for over in overlay {
        let Some(place) = places.get(&over.key).and_then(|place| merged.get_mut(*place)) else {
            // The base has no such key to remove, so the `null` is kept as a value, for example of
            // a column.
            merged.push(Some(over));
            continue;
        };
        *place = match place.take() {
            _ if over.value.is_null() => None,
            Some(Entry { value, .. }) => {
                let Entry { key, key_at, value: overlay } = over;
                Some(Entry { key, key_at, value: merge(value, overlay) })
            }
            None => Some(over),
        };
    }
    merged.into_iter().flatten().collect()
}

fn warn_of_dropped_policies(cx: &Context<'_>, base: &Node, overlay: &Node) {
    let (Some(base), Some(overlay)) = (base.get("policies"), overlay.get("policies")) else { return };
    let NodeKind::Map(inherited) = &base.value.kind else { return };
    for policy in inherited {
        let dropped_at = match &overlay.value.kind {
            NodeKind::Map(_) => {
                overlay.value.get(&policy.key).filter(|entry| entry.value.is_null()).map(|entry| entry.key_at)
            }
            NodeKind::Scalar { .. } | NodeKind::Seq(_) => Some(overlay.key_at),
        };
        if let Some(at) = dropped_at {
            let message = format!("the inherited policy `{}` is dropped", policy.key);
            cx.warn(at, message, format!("it comes from {}", cx.at(policy.key_at)));
        }
    }
}
