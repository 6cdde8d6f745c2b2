//! Files of prose, named by globs relative to the file that names them.

use std::fs;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use super::Named;
use crate::spec::SourceFile;
use crate::spec::context::{Context, MAX_DATA_BYTES};
use crate::spec::error::Code;

/// Deeper trees are not documentation; it bounds a link that leads to its own folder.
const MAX_DEPTH: usize = 16;

/// Reads what a glob names, sorted by name; mistakes are reported.
pub(in crate::spec) fn prose(cx: &Context<'_>, named: Named<'_>) -> Option<Vec<SourceFile>> {
    let magic = named.path.find(['*', '?', '[', '{']).unwrap_or(named.path.len());
    let fixed = named.path.get(..magic).and_then(|fixed| fixed.rfind('/')).map_or(0, |slash| slash + 1);
    let (folder, pattern) = named.path.split_at(fixed);
    let matcher = match GlobBuilder::new(pattern).literal_separator(true).build() {
        Ok(glob) => glob.compile_matcher(),
        Err(error) => {
            let message = format!("not a glob: {}", error.kind());
            cx.fail(
                Code::BadValue,
                named.at,
                message,
                "this pattern",
                "`*` matches a name, `**` any number of folders",
            );
            return None;
        }
    };
    let mut names = Vec::new();
    let deep = if pattern.contains("**") { MAX_DEPTH } else { pattern.matches('/').count() + 1 };
    walk(&cx.path(named.at, folder), "", deep, &matcher, &mut names);
    names.sort();
    if names.is_empty() {
        let message = format!("no file matches `{}`", named.path);
        cx.fail(
            Code::Unreadable,
            named.at,
            message,
            "named here",
            "paths count from the file that they stand in",
        );
        return None;
    }
    let read = |name: String| {
        let name = format!("{folder}{name}");
        let (_, file) = cx.read(&cx.path(named.at, &name), Some(named.at), MAX_DATA_BYTES)?;
        cx.content(format!("{}/{name}", named.label), &file.text);
        Some(SourceFile { name, text: file.text.clone() })
    };
    let files: Vec<Option<SourceFile>> = names.into_iter().map(read).collect();
    files.into_iter().collect()
}

fn walk(folder: &Path, prefix: &str, deep: usize, matcher: &GlobMatcher, names: &mut Vec<String>) {
    // No folder at all is the current one.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        let path = entry.path();
        if path.is_dir() {
            if deep > 1 {
                walk(&path, &format!("{name}/"), deep - 1, matcher, names);
            }
        } else if matcher.is_match(&name) {
            names.push(name);
        }
    }
}
