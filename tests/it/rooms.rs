//! The rooms of `src/` import each other only as listed in the table of `docs/ARCHITECTURE.md`, and neither rooms
//! nor the files in them use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn rooms_use_each_other_as_the_table_says() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Uses::new();
    read_folder(&repository.join("src"), None, &mut found);
    let table = table(&fs::read_to_string(repository.join("docs/ARCHITECTURE.md")).unwrap());

    let rooms: BTreeSet<&String> =
        found.keys().filter(|room| !["lib", "main"].contains(&room.as_str())).collect();
    assert_eq!(rooms, table.keys().collect(), "the folders and files of src/, and the rooms of the table");
    for (room, uses) in &table {
        assert_eq!(&found[room], uses, "what `{room}` uses, and what its row in docs/ARCHITECTURE.md says");
    }
}

/// Returns the rooms that each room imports. Test code is not restricted.
fn read_folder(folder: &Path, room: Option<&str>, found: &mut Uses) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "tests" {
            continue;
        }
        let room = room.unwrap_or(&stem);
        if path.is_dir() {
            read_folder(&path, Some(room), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let used = named(&text).into_iter().filter(|other| other != room);
            found.entry(room.to_owned()).or_default().extend(used);
        }
    }
}

/// Returns the names after `crate::` in the code of a file, alone or in braces.
fn named(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let after = &code[at + "crate::".len()..];
        match after.strip_prefix('{') {
            Some(several) => names.extend(several.split('}').next().unwrap().split(',').map(first_word)),
            None => drop(names.insert(first_word(after))),
        }
    }
    names
}

/// Returns the text without its tests and comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect()
}

/// Parses the table of rooms: names in the first column, their imports in the last.
fn table(page: &str) -> Uses {
    let rows = page.lines().skip_while(|line| !line.starts_with("| room |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let quoted = |cell: &str| -> Vec<String> {
        let names = cell.split('`').skip(1).step_by(2);
        names.map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned()).collect()
    };
    let mut table = Uses::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let uses: BTreeSet<String> = quoted(cells.last().unwrap()).into_iter().collect();
        for room in quoted(cells[0]).into_iter().filter(|room| room != "main") {
            table.insert(room, uses.clone());
        }
    }
    table
}

#[test]
fn no_room_leads_back_to_itself() {
    let mut found = Uses::new();
    read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut found);

    for room in found.keys() {
        let reached = reached(room, &found);
        assert!(!reached.contains(room), "`{room}` uses what uses it: {reached:?}");
    }
}

/// The files and folders of one folder must not use each other in a circle, either directly or by a name that
/// their `mod.rs` re-exports.
#[test]
fn no_file_leads_back_to_itself() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    read_modules(&source, &mut Vec::new(), &mut files);
    let mut uses: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, code) in &files {
        for path in imports(code) {
            let used = resolve(&absolute(module, &path), &files);
            let shared = module.iter().zip(&used).take_while(|(own, other)| own == other).count();
            if shared < module.len() && shared < used.len() {
                let (from, to) = (module[..=shared].to_vec(), used[..=shared].to_vec());
                uses.entry(from).or_default().insert(to);
            }
        }
    }
    let circles: BTreeSet<String> = uses
        .keys()
        .filter_map(|module| {
            let reached = reached(module, &uses);
            let circle: Vec<String> = reached
                .iter()
                .filter(|other| self::reached(*other, &uses).contains(module))
                .map(|other| other.join("/"))
                .collect();
            reached.contains(module).then(|| circle.join(", "))
        })
        .collect();
    assert!(
        circles.is_empty(),
        "files that use each other in a circle:\n{}",
        Vec::from_iter(circles).join("\n")
    );
}

/// Returns what a module uses, directly or through others.
fn reached<T: Ord + Clone>(module: &T, uses: &BTreeMap<T, BTreeSet<T>>) -> BTreeSet<T> {
    let mut reached = BTreeSet::new();
    let mut open = vec![module];
    while let Some(next) = open.pop() {
        open.extend(uses.get(next).into_iter().flatten().filter(|used| reached.insert((*used).clone())));
    }
    reached
}

/// The path of a module below the crate.
type Module = Vec<String>;

/// Reads the code of every module except tests.
fn read_modules(folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "tests" || !path.is_dir() && path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let is_of_folder = ["mod", "lib", "main"].contains(&stem.as_str());
        if !is_of_folder {
            module.push(stem);
        }
        if path.is_dir() {
            read_modules(&path, module, files);
        } else {
            files.insert(module.clone(), code(&fs::read_to_string(&path).unwrap()));
        }
        if !is_of_folder {
            module.pop();
        }
    }
}

/// Returns the paths of all imports, and the other paths from `super` and `crate`.
fn imports(code: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap().trim();
        let is_statement = before.is_empty() || before == "pub" || before.starts_with("pub(");
        if is_statement && let Some((tree, _)) = code[at + "use ".len()..].split_once(';') {
            expand("", tree, &mut paths);
        }
    }
    let part_of_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    for (at, _) in code.match_indices("super::").chain(code.match_indices("crate::")) {
        let path: String = code[at..].chars().take_while(|sign| part_of_path(*sign)).collect();
        paths.push(segments(&path));
    }
    paths
}

/// Expands the braces of an import.
fn expand(before: &str, tree: &str, paths: &mut Vec<Module>) {
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return paths.push(segments(&format!("{before}{path}")));
    };
    let inner = inner.rsplit_once('}').unwrap().0;
    let (mut depth, mut start) = (0, 0);
    for (at, sign) in inner.char_indices().chain([(inner.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{before}{head}"), &inner[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
        start = start.min(inner.len());
    }
}

fn segments(path: &str) -> Module {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Resolves `crate`, `super` and `self` at the beginning of a path.
fn absolute(module: &Module, path: &Module) -> Module {
    match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("super" | "self") => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let rest = path.iter().skip_while(|part| ["super", "self"].contains(&part.as_str()));
            module[..module.len().saturating_sub(up)].iter().chain(rest).cloned().collect()
        }
        _ => module.iter().chain(path).cloned().collect(),
    }
}

/// Returns the module that a path leads to, by the re-exports of the modules on its way.
fn resolve(path: &Module, files: &BTreeMap<Module, String>) -> Module {
    let module = (0..=path.len()).rev().map(|length| path[..length].to_vec());
    let module = module.into_iter().find(|module| files.contains_key(module)).unwrap_or_default();
    let Some(name) = path.get(module.len()) else { return module };
    let exports = files.get(&module).map_or(Vec::new(), |code| imports(code));
    let export = exports.iter().find(|export| {
        let is_child = export
            .first()
            .is_some_and(|first| files.contains_key(&[module.clone(), vec![first.clone()]].concat()));
        is_child && export.last() == Some(name)
    });
    match export {
        Some(export) => resolve(&[module, export.clone()].concat(), files),
        None => module,
    }
}
