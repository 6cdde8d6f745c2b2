//! A folder of migrations, named and checksummed as sqlx does it, so that both tools agree on
//! what is applied.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha384};

use super::Named;
use crate::spec::context::{Context, MAX_DATA_BYTES};
use crate::spec::error::{Code, SpecError};
use crate::spec::{Location, Migration, MigrationSets};

const NAMING: &str = "migrations are named `VERSION_NAME.sql`, such as `0001_init.sql`";

/// Reads a folder of migrations; mistakes are reported.
pub(in crate::spec) fn migrations(cx: &Context<'_>, named: Named<'_>) -> Option<MigrationSets> {
    let folder = cx.path(named.at, named.path);
    let entries = listing(cx, named, &folder)?;
    let is_folder =
        |name: &str| entries.iter().any(|path| path.is_dir() && path.file_name() == Some(OsStr::new(name)));
    if is_folder("repeatable") {
        let message =
            format!("{} holds repeatable migrations, which this version does not run", folder.display());
        cx.fail(Code::NotBuilt, named.at, message, "this folder", "move them into numbered migrations");
        return None;
    }
    let common = set(cx, named, "common", &entries)?;
    let dialect = |name: &str| {
        if is_folder(name) {
            let entries = listing(cx, named, &folder.join(name))?;
            set(cx, named, name, &entries)
        } else {
            Some(Vec::new())
        }
    };
    let (postgres, sqlite) = (dialect("postgres"), dialect("sqlite"));
    let sets = MigrationSets { folder: Some(folder.clone()), common, postgres: postgres?, sqlite: sqlite? };
    let by_dialect = !sets.postgres.is_empty() || !sets.sqlite.is_empty();
    if by_dialect && !sets.common.is_empty() {
        let message = format!("{} holds migrations both by dialect and for all", folder.display());
        let help = "put all of them into `postgres/` and `sqlite/`, or none";
        cx.fail(Code::Migrations, named.at, message, "this folder", help);
        return None;
    }
    Some(sets)
}

fn listing(cx: &Context<'_>, named: Named<'_>, folder: &Path) -> Option<Vec<PathBuf>> {
    let read = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    match read {
        Ok(mut paths) => {
            paths.sort();
            Some(paths)
        }
        Err(error) => {
            let what = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such folder".to_owned(),
                std::io::ErrorKind::NotADirectory => "it is a file, not a folder".to_owned(),
                _ => error.to_string(),
            };
            let message = format!("cannot read the migrations in {}: {what}", folder.display());
            cx.fail(
                Code::Unreadable,
                named.at,
                message,
                "named here",
                "paths count from the file that they stand in",
            );
            None
        }
    }
}

fn set(cx: &Context<'_>, named: Named<'_>, label: &str, entries: &[PathBuf]) -> Option<Vec<Migration>> {
    let is_sql =
        |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "sql") && path.is_file();
    let mut migrations: Vec<Migration> = Vec::new();
    let mut versions: HashMap<i64, usize> = HashMap::new();
    let mut whole = true;
    for path in entries.iter().filter(is_sql) {
        let Some(migration) = migration(cx, named, label, path) else {
            whole = false;
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
            whole = false;
            continue;
        }
        versions.insert(migration.version, migrations.len());
        migrations.push(migration);
    }
    migrations.sort_by_key(|migration| migration.version);
    whole.then_some(migrations)
}

fn migration(cx: &Context<'_>, named: Named<'_>, label: &str, path: &Path) -> Option<Migration> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or("");
    if name.ends_with(".up.sql") || name.ends_with(".down.sql") {
        let message = format!(
            "{} is one half of a reversible migration, which this version does not run",
            path.display()
        );
        cx.fail(Code::NotBuilt, named.at, message, "in this folder", "keep the way up as `VERSION_NAME.sql`");
        return None;
    }
    let stem = name.strip_suffix(".sql").unwrap_or(name);
    let parts = stem.split_once('_').and_then(|(version, rest)| {
        let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        (digits && !rest.is_empty()).then(|| version.parse::<i64>().ok().map(|version| (version, rest)))?
    });
    let Some((version, description)) = parts else {
        let message = format!("{} is not named as a migration", path.display());
        cx.fail(Code::Migrations, named.at, message, "in this folder", NAMING);
        return None;
    };
    let sql = raw(cx, named, path)?;
    let (_, file) = cx.read(path, Some(named.at), MAX_DATA_BYTES)?;
    cx.content(format!("{}/{label}/{name}", named.label), &file.text);
    Some(Migration {
        version,
        stem: stem.to_owned(),
        description: description.replace('_', " "),
        checksum: Sha384::digest(sql.as_bytes()).to_vec(),
        no_transaction: sql.starts_with("-- no-transaction"),
        sql,
        at: Location::new(&file.source, 0, 0),
    })
}

/// The text with its byte-order mark: sqlx's checksum is over what lies on the disk.
fn raw(cx: &Context<'_>, named: Named<'_>, path: &Path) -> Option<String> {
    match fs::metadata(path).and_then(|metadata| {
        if metadata.len() > MAX_DATA_BYTES {
            Err(std::io::ErrorKind::FileTooLarge.into())
        } else {
            fs::read_to_string(path)
        }
    }) {
        Ok(text) => Some(text),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            cx.report(SpecError::new(Code::Unreadable, message).at(cx.at(named.at), "in this folder"));
            None
        }
    }
}
