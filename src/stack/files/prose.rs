//! Reads files of prose, matched by globs relative to the file that contains the glob.

use globset::GlobBuilder;

use super::walk::{Walked, walk};
use super::{FileRef, collect_all};
use crate::stack::SourceFile;
use crate::stack::context::{Context, MAX_DATA_BYTES};
use crate::stack::error::Code;

/// Reads the files that a glob matches, sorted by name, and reports errors.
pub(in crate::stack) fn prose(cx: &Context<'_>, named: FileRef<'_>) -> Option<Vec<SourceFile>> {
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
    let Walked { names, problems } = walk(&cx.path(named.at, folder), pattern, &matcher);
    if !problems.is_empty() {
        let help = "nothing is planned while a source is unreadable: its documents would be deleted; make it \
                    readable, or narrow the pattern";
        for problem in problems {
            cx.fail(Code::Unreadable, named.at, problem, "named here", help);
        }
        return None;
    }
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
    collect_all(names.into_iter().map(read))
}
