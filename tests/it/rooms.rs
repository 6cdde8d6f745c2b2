//! The rooms of `src/` import each other only as listed in the table of `docs/ARCHITECTURE.md`.

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
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
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
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = found[room].iter().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(found.get(next).into_iter().flatten());
            }
        }
        assert!(!reached.contains(room), "`{room}` uses what uses it: {reached:?}");
    }
}
