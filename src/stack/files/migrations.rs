//! Reads a folder of migrations. Names and checksums follow sqlx, so that both tools agree on what
//! is applied.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha384};

use super::{FileRef, collect_all};
use crate::location::Location;
use crate::stack::context::{Context, MAX_DATA_BYTES};
use crate::stack::error::Code;
use crate::stack::{Migration, MigrationSets, Repeatable, RepeatableSets};

const UP: &str = ".up.sql";
const DOWN: &str = ".down.sql";
/// Subfolders with a meaning in a migrations folder.
const FOLDERS: [&str; 3] = ["postgres", "sqlite", "repeatable"];
const NAMING: &str = "migrations are named `VERSION_NAME.sql`, such as `0001_init.sql`";

/// Reads a folder of migrations and reports errors.
pub(in crate::stack) fn migrations(cx: &Context<'_>, named: FileRef<'_>) -> Option<MigrationSets> {
    let folder = cx.path(named.at, named.path);
    let entries = Listing::read(cx, named, &folder)?;
    let common = set(cx, named, "common", &entries)?;
    let dialect = |name: &str| match entries.folder(name) {
        Some(folder) => {
            let entries = Listing::read(cx, named, folder)?;
            Some((set(cx, named, name, &entries)?, repeatables(cx, named, name, &entries)?))
        }
        None => Some((Vec::new(), Vec::new())),
    };
    let repeated = repeatables(cx, named, "common", &entries);
    let (in_postgres, in_sqlite) = (dialect("postgres"), dialect("sqlite"));
    let ((postgres, in_postgres), (sqlite, in_sqlite)) = (in_postgres?, in_sqlite?);
    let repeatable = RepeatableSets { common: repeated?, postgres: in_postgres, sqlite: in_sqlite };
    distinct(cx, named, &repeatable)?;
    let sets = MigrationSets { folder: Some(folder.clone()), common, postgres, sqlite, repeatable };
    let by_dialect = !sets.postgres.is_empty() || !sets.sqlite.is_empty();
    if by_dialect && !sets.common.is_empty() {
        let message = format!("{} holds migrations both by dialect and for all", folder.display());
        let help = "put all of them into `postgres/` and `sqlite/`, or none";
        cx.fail(Code::Migrations, named.at, message, "this folder", help);
        return None;
    }
    Some(sets)
}

/// The entries of a folder, sorted by name.
struct Listing {
    folders: Vec<PathBuf>,
    sql_files: Vec<PathBuf>,
}

impl Listing {
    fn read(cx: &Context<'_>, named: FileRef<'_>, folder: &Path) -> Option<Self> {
        match Self::of(folder) {
            Ok(listing) => Some(listing),
            Err(error) => {
                let what = match error.kind() {
                    std::io::ErrorKind::NotFound => "there is no such folder".to_owned(),
                    std::io::ErrorKind::NotADirectory => "it is a file, not a folder".to_owned(),
                    _ => error.to_string(),
                };
                let message = format!("cannot read the migrations in {}: {what}", folder.display());
                let help = "paths count from the file that they stand in";
                cx.fail(Code::Unreadable, named.at, message, "named here", help);
                None
            }
        }
    }

    fn of(folder: &Path) -> std::io::Result<Self> {
        let (mut folders, mut sql_files) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let is_sql = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
            // The directory listing has the type of an entry, but not the type of a link's target.
            let is_folder = if kind.is_symlink() {
                match fs::metadata(&path) {
                    Ok(metadata) => metadata.is_dir(),
                    // Reading the file will report why it cannot be read.
                    Err(_) if is_sql => false,
                    Err(error) if FOLDERS.iter().any(|name| path.file_name() == Some(OsStr::new(name))) => {
                        let what = format!("the link {} cannot be followed: {error}", path.display());
                        return Err(std::io::Error::other(what));
                    }
                    Err(_) => continue,
                }
            } else {
                kind.is_dir()
            };
            if is_folder {
                folders.push(path);
            } else if is_sql {
                sql_files.push(path);
            }
        }
        folders.sort();
        sql_files.sort();
        Ok(Self { folders, sql_files })
    }

    fn folder(&self, name: &str) -> Option<&Path> {
        let found = self.folders.iter().find(|path| path.file_name() == Some(OsStr::new(name)));
        found.map(PathBuf::as_path)
    }
}

fn set(cx: &Context<'_>, named: FileRef<'_>, label: &str, entries: &Listing) -> Option<Vec<Migration>> {
    let mut migrations: Vec<Migration> = Vec::new();
    let mut versions: HashMap<i64, usize> = HashMap::new();
    let mut is_valid = true;
    for path in &entries.sql_files {
        if name_of(path).ends_with(DOWN) {
            warn_of_orphan(cx, named, path, &entries.sql_files);
            continue;
        }
        let Some(migration) = migration(cx, named, label, path) else {
            is_valid = false;
            continue;
        };
        if let Some(first) = versions.get(&migration.version).and_then(|first| migrations.get(*first)) {
            let message = format!(
                "two migrations have version {}: {} and {}",
                migration.version,
                first.at.source.name(),
                migration.at.source.name()
            );
            cx.fail(
                Code::Migrations,
                named.at,
                message,
                "in this folder",
                "give one of them a higher number",
            );
            is_valid = false;
            continue;
        }
        versions.insert(migration.version, migrations.len());
        migrations.push(migration);
    }
    migrations.sort_by_key(|migration| migration.version);
    is_valid.then_some(migrations)
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or("")
}

/// Warns of a down migration without an up migration. It is harmless, because down migrations never
/// run.
fn warn_of_orphan(cx: &Context<'_>, named: FileRef<'_>, down: &Path, entries: &[PathBuf]) {
    let up = name_of(down).strip_suffix(DOWN).map(|stem| format!("{stem}{UP}")).unwrap_or_default();
    if !entries.iter().any(|path| name_of(path) == up) {
        let message = format!("{} has no {up} beside it", down.display());
        cx.warn(named.at, message, "`.down.sql` files are never run; remove it, or add the migration");
    }
}

/// Returns the files of `repeatable/` in a folder, if it exists.
fn repeatables(
    cx: &Context<'_>,
    named: FileRef<'_>,
    label: &str,
    entries: &Listing,
) -> Option<Vec<Repeatable>> {
    let Some(folder) = entries.folder("repeatable") else { return Some(Vec::new()) };
    let files = Listing::read(cx, named, folder)?.sql_files;
    collect_all(files.iter().map(|path| repeatable(cx, named, label, path)))
}

fn repeatable(cx: &Context<'_>, named: FileRef<'_>, label: &str, path: &Path) -> Option<Repeatable> {
    let file_name = name_of(path);
    let name = file_name.strip_suffix(".sql").unwrap_or(file_name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(plain) {
        let message = format!("{} is not named as a repeatable migration", path.display());
        let help = "they are named `NAME.sql`, with letters, digits, `_` and `-`";
        cx.fail(Code::Migrations, named.at, message, "in this folder", help);
        return None;
    }
    let (_, file) = cx.read_sql(path, Some(named.at), MAX_DATA_BYTES)?;
    if Migration::begins_outside(&file.text) {
        let message = format!("{} is repeatable, and those run in a transaction", path.display());
        let help = "make it a numbered migration, or remove `-- no-transaction`";
        cx.fail(Code::Migrations, named.at, message, "in this folder", help);
        return None;
    }
    cx.content(format!("{}/{label}/repeatable/{file_name}", named.label), &file.text);
    Some(Repeatable {
        name: name.to_owned(),
        sql: file.marked_text(),
        tables: cx.tables.clone(),
        at: Location::new(&file.source, 0, 0),
    })
}

/// Rejects a name that occurs twice among the files that run on one dialect.
fn distinct(cx: &Context<'_>, named: FileRef<'_>, sets: &RepeatableSets) -> Option<()> {
    let RepeatableSets { common, postgres, sqlite } = sets;
    let twice = common.iter().find_map(|file| {
        let other = postgres.iter().chain(sqlite).find(|other| other.name == file.name)?;
        Some((file, other))
    });
    let Some((one, other)) = twice else { return Some(()) };
    let (first, second) = (one.at.source.name(), other.at.source.name());
    let message = format!("two repeatable migrations are named {}: {first} and {second}", one.name);
    cx.fail(Code::Migrations, named.at, message, "in this folder", "rename one of them");
    None
}

fn migration(cx: &Context<'_>, named: FileRef<'_>, label: &str, path: &Path) -> Option<Migration> {
    let name = name_of(path);
    let Some(bare) = name.strip_suffix(".sql") else {
        let message = format!("{} does not end in `.sql`: sqlx would not see it", path.display());
        cx.fail(Code::Migrations, named.at, message, "in this folder", "rename it to end in small letters");
        return None;
    };
    let stem = name.strip_suffix(UP).unwrap_or(bare);
    let parts = stem.split_once('_').and_then(|(version, rest)| {
        let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        (digits && !rest.is_empty()).then(|| version.parse::<i64>().ok().map(|version| (version, rest)))?
    });
    let Some((version, description)) = parts else {
        let message = format!("{} is not named as a migration", path.display());
        cx.fail(Code::Migrations, named.at, message, "in this folder", NAMING);
        return None;
    };
    let (_, file) = cx.read_sql(path, Some(named.at), MAX_DATA_BYTES)?;
    cx.content(format!("{}/{label}/{name}", named.label), &file.text);
    // sqlx computes the checksum over the bytes on disk, with the byte-order mark.
    let sql = file.marked_text();
    Some(Migration {
        version,
        stem: stem.to_owned(),
        description: description.replace('_', " "),
        checksum: Sha384::digest(sql.as_bytes()).to_vec(),
        no_transaction: Migration::begins_outside(&file.text),
        sql,
        tables: cx.tables.clone(),
        at: Location::new(&file.source, 0, 0),
    })
}
