//! `trueup init`: writes a working stack. The files of `examples/` are embedded in the binary, and
//! the paths between them are adapted to the new folder.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure, Plain};
use super::ui::Ui;

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder, created if it is missing
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// What to write: everything embedded, or servers in three environments
    #[arg(long, value_enum, default_value = "quickstart")]
    pub preset: Preset,
}

/// `--preset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// Everything embedded, no server.
    Quickstart,
    /// PostgreSQL, Chroma and Redis; dev, hybrid and prod.
    Insight,
}

/// One file of a preset: its path and its content.
struct Template {
    path: &'static str,
    content: &'static [u8],
}

macro_rules! templates {
    ($($path:literal from $source:literal),+ $(,)?) => {
        &[$(Template { path: $path, content: include_bytes!(concat!("../../", $source)) }),+]
    };
}

/// The common files of both presets: the reference schema, the vocabulary and a sample business
/// database.
const COMMON: &[Template] = templates![
    "ontologies/accounting.yaml" from "ontologies/accounting.yaml",
    "migrations/sqlite/0001_users.sql" from "migrations/sqlite/0001_users.sql",
    "migrations/sqlite/0002_queries_and_feedback.sql" from "migrations/sqlite/0002_queries_and_feedback.sql",
    "migrations/sqlite/0003_audit_logs_and_configurations.sql"
        from "migrations/sqlite/0003_audit_logs_and_configurations.sql",
    "migrations/sqlite/0004_business_ontologies.sql" from "migrations/sqlite/0004_business_ontologies.sql",
    "migrations/sqlite/0005_accounting_transactions.sql" from "migrations/sqlite/0005_accounting_transactions.sql",
    "migrations/postgres/0001_users.sql" from "migrations/postgres/0001_users.sql",
    "migrations/postgres/0002_queries_and_feedback.sql" from "migrations/postgres/0002_queries_and_feedback.sql",
    "migrations/postgres/0003_audit_logs_and_configurations.sql"
        from "migrations/postgres/0003_audit_logs_and_configurations.sql",
    "migrations/postgres/0004_business_ontologies.sql" from "migrations/postgres/0004_business_ontologies.sql",
    "migrations/postgres/0005_accounting_transactions.sql" from "migrations/postgres/0005_accounting_transactions.sql",
    "business.db" from "examples/quickstart/business.db",
    "docs/ledger.md" from "examples/quickstart/docs/ledger.md",
    "docs/purchases-and-payables.md" from "examples/quickstart/docs/purchases-and-payables.md",
    "docs/sales-and-receivables.md" from "examples/quickstart/docs/sales-and-receivables.md",
    "docs/vat-and-month-end.md" from "examples/quickstart/docs/vat-and-month-end.md",
];

const QUICKSTART: &[Template] = templates![
    "stack.yaml" from "examples/quickstart/stack.yaml",
    "questions.yaml" from "examples/quickstart/questions.yaml",
    "seeds/accounting.csv" from "examples/quickstart/seeds/accounting.csv",
    "data/.gitignore" from "examples/quickstart/data/.gitignore",
    "README.md" from "examples/quickstart/README.md",
    "make_business_db.py" from "examples/quickstart/make_business_db.py",
];

const INSIGHT: &[Template] = templates![
    "base.yaml" from "examples/insight/base.yaml",
    "dev.yaml" from "examples/insight/dev.yaml",
    "hybrid.yaml" from "examples/insight/hybrid.yaml",
    "prod.yaml" from "examples/insight/prod.yaml",
    "compose.yaml" from "examples/insight/compose.yaml",
    ".env.example" from "examples/insight/.env.example",
    "questions.yaml" from "examples/insight/questions.yaml",
    "seeds/accounting.csv" from "examples/insight/seeds/accounting.csv",
    ".gitignore" from "examples/insight/.gitignore",
    "README.md" from "examples/insight/README.md",
];

/// Existing files with these names are kept, because many folders have them.
const KEPT_IF_PRESENT: &[&str] = &["README.md", ".gitignore"];

pub(super) fn run(args: &InitArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (own, spec) = match args.preset {
        Preset::Quickstart => (QUICKSTART, "stack.yaml"),
        Preset::Insight => (INSIGHT, "dev.yaml"),
    };
    let is_left = |template: &&Template| {
        KEPT_IF_PRESENT.contains(&template.path) && args.dir.join(template.path).exists()
    };
    let templates = || COMMON.iter().chain(own).filter(|template| !is_left(template));
    refuse_to_overwrite(&args.dir, templates())?;
    for template in templates() {
        write(&args.dir, template)?;
        ui.answer(&format!("{}\n", args.dir.join(template.path).display()));
    }
    let spec = args.dir.join(spec);
    ui.note(&match args.preset {
        Preset::Quickstart => format!("next: `trueup --file {} plan`, then `apply`", spec.display()),
        Preset::Insight => format!(
            "next: start the servers of compose.yaml, set the variables of .env.example, \
             then `trueup --file {} plan`",
            spec.display()
        ),
    });
    Ok(Exit::Done)
}

fn refuse_to_overwrite<'t>(
    folder: &Path,
    templates: impl Iterator<Item = &'t Template>,
) -> Result<(), Failure> {
    let taken: Vec<String> = templates
        .map(|template| folder.join(template.path))
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    let message = format!("{} would be overwritten", taken.join(", "));
    Err(Failure::new(Plain::new("taken", message).help("give an empty folder: `trueup init DIR`")))
}

fn write(folder: &Path, template: &Template) -> Result<(), Failure> {
    let path = folder.join(template.path);
    let failed = |source| Plain::io("write", &path.display().to_string(), &source);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(&path, adapted(template)).map_err(failed)?;
    Ok(())
}

/// Rewrites paths that lead out of the example's folder to the same files in the new one.
fn adapted(template: &Template) -> Vec<u8> {
    match std::str::from_utf8(template.content) {
        Ok(text)
            if ["yaml", "env.example", "README.md"].iter().any(|end| template.path.ends_with(end))
                && !template.path.contains('/') =>
        {
            text.replace("# yaml-language-server: $schema=../../schemas/stack.schema.json\n", "")
                .replace("../../", "")
                .replace("../quickstart/", "")
                .replace("examples/quickstart/", "")
                .into_bytes()
        }
        _ => template.content.to_vec(),
    }
}
