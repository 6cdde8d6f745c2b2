//! `trueup migration`: writes the next migration file, and reports the risks of existing ones.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::exit::{Exit, Failure, Plain};
use super::load;
use super::ui::Ui;
use super::values::EventFormat;
use crate::change::Risk;
use crate::lint::{self, Known, Text};
use crate::location::Location;
use crate::render::{self, LintedFile};
use crate::sql::Dialect;
use crate::stack::{Contact, Migration, MigrationSets, Repeatable, Stack, SystemUrl};

/// Arguments of `migration`.
#[derive(Debug, Args)]
pub(super) struct MigrationArgs {
    /// What to do
    #[command(subcommand)]
    pub command: MigrationCommand,
}

/// The commands of `migration`.
#[derive(Debug, Subcommand)]
pub(super) enum MigrationCommand {
    /// Write the next numbered file, one for each dialect that the migrations are written in
    New {
        /// What it does, such as `add_projects`
        name: String,
        /// Only for this dialect
        #[arg(long, value_enum)]
        dialect: Option<DialectArg>,
    },
    /// Report the risks of the statements in all files, without a database; exit 3 if one destroys
    /// data
    #[command(after_help = "\
Exit codes: 0 nothing destroys data, or what does asserts first that there is none · 1 the spec is in error ·
3 a statement is destructive

The rules are described in docs/reference/lint.md.")]
    Lint {
        /// How to print it
        #[arg(long, value_enum, default_value = "text")]
        format: EventFormat,
        /// The dialect of files outside of a dialect's folder, if `system.url` does not determine
        /// it
        #[arg(long, value_enum)]
        dialect: Option<DialectArg>,
    },
}

/// `--dialect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DialectArg {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl From<DialectArg> for Dialect {
    fn from(argument: DialectArg) -> Self {
        match argument {
            DialectArg::Postgres => Self::Postgres,
            DialectArg::Sqlite => Self::Sqlite,
        }
    }
}

/// Folders of migrations by dialect.
const FOLDERS: [(Dialect, &str); 2] = [(Dialect::Postgres, "postgres"), (Dialect::Sqlite, "sqlite")];

pub(super) fn run(args: &MigrationArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let path = load::find(file)?;
    let stack = load::load(&path, Contact::Offline)?;
    match &args.command {
        MigrationCommand::New { name, dialect } => new(&stack, name, dialect.map(Dialect::from), ui),
        MigrationCommand::Lint { format, dialect } => lint(&stack, *format, dialect.map(Dialect::from), ui),
    }
}

fn wrong(message: impl Into<String>, help: &str) -> Failure {
    Failure::with(Exit::Usage, Plain::new("migration", message).help(help))
}

/// Writes the next file into each folder and prints the paths.
fn new(stack: &Stack, name: &str, dialect: Option<Dialect>, ui: &Ui) -> Result<Exit, Failure> {
    let sets = &stack.system.migrations;
    let folder = sets.folder.as_deref().ok_or_else(|| {
        wrong("the spec names no migrations", "name their folder: `system.migrations: migrations`")
    })?;
    let name = file_name(name)?;
    let folders = folders(folder, sets, dialect)?;
    let version = next_version(sets);
    let stem = format!("{version}_{name}");
    for folder in folders {
        let path = folder.join(format!("{stem}.sql"));
        write(&folder, &path, &stem)
            .map_err(|error| Failure::new(Plain::io("write", &path.display().to_string(), &error)))?;
        ui.answer(&format!("{}\n", path.display()));
    }
    Ok(Exit::Done)
}

/// Converts a description to a file name: lower-case letters, digits and underscores.
fn file_name(name: &str) -> Result<String, Failure> {
    let plain = name.trim().to_lowercase().replace([' ', '-'], "_");
    let is_plain = plain.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_plain || plain.trim_matches('_').is_empty() {
        let help = "a name has letters, digits and underscores, such as `add_projects`";
        return Err(wrong(format!("{name:?} cannot be the name of a migration"), help));
    }
    Ok(plain)
}

/// Returns the folders for a new file.
fn folders(folder: &Path, sets: &MigrationSets, dialect: Option<Dialect>) -> Result<Vec<PathBuf>, Failure> {
    let is_wanted = |of: Dialect| dialect.is_none_or(|wanted| wanted == of);
    let wanted = || FOLDERS.iter().filter(|(of, _)| is_wanted(*of)).map(|(_, name)| folder.join(name));
    let found: Vec<PathBuf> = wanted().filter(|folder| folder.is_dir()).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    match dialect {
        None => Ok(vec![folder.to_owned()]),
        // The first file of a dialect creates its folder.
        Some(_) if sets.common.is_empty() => Ok(wanted().collect()),
        Some(_) => Err(wrong(
            format!("the migrations in {} are not divided by dialect", folder.display()),
            "leave `--dialect` out, or move them into `postgres/` and `sqlite/`",
        )),
    }
}

/// Returns the next version in the format of the existing ones: of the same width, or a UTC time.
fn next_version(sets: &MigrationSets) -> String {
    /// Digits of a time such as `20250131120000`.
    const TIME_DIGITS: usize = 14;
    const USUAL_DIGITS: usize = 4;
    let MigrationSets { folder: _, common, postgres, sqlite, repeatable: _ } = sets;
    let newest = common.iter().chain(postgres).chain(sqlite).max_by_key(|migration| migration.version);
    let Some(newest) = newest else { return format!("{:0USUAL_DIGITS$}", 1) };
    let digits = newest.stem.find('_').unwrap_or(USUAL_DIGITS);
    let next = newest.version.saturating_add(1);
    let version = if digits == TIME_DIGITS {
        let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S").to_string();
        now.parse().unwrap_or(next).max(next)
    } else {
        next
    };
    format!("{version:0digits$}")
}

fn write(folder: &Path, path: &Path, stem: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let header = format!(
        "-- {stem}: what changes, and why.\n\
         -- Runs in one transaction with its record, unless the first line is `-- no-transaction`.\n\
         -- Once it is applied anywhere, change it no more: write another.\n\n"
    );
    file.write_all(header.as_bytes())
}

/// Classifies all statements in the order in which the files run: repeatable files come last. Down
/// migrations never run, so they are not read.
fn lint(stack: &Stack, format: EventFormat, dialect: Option<Dialect>, ui: &Ui) -> Result<Exit, Failure> {
    let MigrationSets { folder: _, common, postgres, sqlite, repeatable } = &stack.system.migrations;
    let of_url = stack.system.endpoint.to.as_ref().ok().map(|url| match url {
        SystemUrl::Postgres(_) => Dialect::Postgres,
        SystemUrl::Sqlite(_) => Dialect::Sqlite,
    });
    let of_common = dialect.or(of_url).unwrap_or_else(|| {
        if !common.is_empty() || !repeatable.common.is_empty() {
            ui.note("`system.url` is not known here; read as PostgreSQL (`--dialect sqlite` for SQLite)");
        }
        Dialect::Postgres
    });
    let own =
        [(Dialect::Postgres, postgres, &repeatable.postgres), (Dialect::Sqlite, sqlite, &repeatable.sqlite)];
    let mut files = Vec::new();
    for (dialect, versioned, repeated) in own {
        let is_common = dialect == of_common;
        let versioned: Vec<&Migration> =
            versioned.iter().chain(common.iter().filter(|_| is_common)).collect();
        let shared = repeatable.common.iter().filter(|_| is_common);
        let mut repeated: Vec<&Repeatable> = repeated.iter().chain(shared).collect();
        repeated.sort_by(|a, b| a.name.cmp(&b.name));
        files.extend(linted(dialect, &versioned, &repeated));
    }
    ui.answer(&match format {
        EventFormat::Text => render::lint_text(&files, ui.paint()),
        EventFormat::Json => render::lint_json(&files),
    });
    let destroys = files
        .iter()
        .flat_map(|file| &file.statements)
        .any(|statement| statement.risks.contains(Risk::Destructive));
    Ok(if destroys { Exit::Denied } else { Exit::Done })
}

fn linted(dialect: Dialect, versioned: &[&Migration], repeated: &[&Repeatable]) -> Vec<LintedFile> {
    let mut known = Known::without_database();
    let versioned = versioned.iter().map(|file| {
        let outside = file.no_transaction || lint::has_transactions(&file.sql, dialect);
        (&file.sql, !outside, &file.at)
    });
    let repeated = repeated.iter().map(|file| (&file.sql, true, &file.at));
    let file = |(sql, in_transaction, at): (&String, bool, &Location)| {
        // Without a database it is unknown whether a table is empty.
        let statements = lint::classify(Text { sql, dialect, in_transaction }, &mut known, &|_| None);
        known.mark_all_used();
        LintedFile { name: at.source.name().to_owned(), dialect, statements }
    };
    versioned.chain(repeated).map(file).collect()
}
