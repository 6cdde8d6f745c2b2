//! Setups of scenarios: a system database of either kind, and the examples as users have them. Also
//! short texts of a plan's steps.

use std::path::PathBuf;

use serde_json::Value;
use sqlx::migrate::Migrator;

use crate::servers::{self, Postgres};
use crate::world::World;

/// Returns a stack of migrations alone; further lines of `system:` may follow.
pub(crate) const MIGRATIONS: &str = "
version: 1
stack: demo
environment: dev
system:
  url: ${DATABASE_URL}
  create_database: true
  migrations: migrations
  accounts: false
";

/// The system database of one scenario.
pub(crate) enum Database {
    Sqlite(PathBuf),
    Postgres(Postgres),
}

impl Database {
    /// Returns its URL for a spec.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(postgres) => postgres.url(),
        }
    }

    /// Runs SQL with the database's own client and returns its rows, with columns separated by `|`.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self {
            Self::Sqlite(path) => servers::sqlite(path, sql),
            Self::Postgres(postgres) => postgres.psql(sql),
        }
    }

    pub(crate) fn has_table(&self, name: &str) -> bool {
        let tables = match self {
            Self::Sqlite(_) => "sqlite_schema WHERE name",
            Self::Postgres(_) => "pg_catalog.pg_tables WHERE tablename",
        };
        self.sql(&format!("SELECT count(*) FROM {tables} = '{name}'")) == "1"
    }

    /// Returns the qualified name of a bookkeeping table.
    pub(crate) fn bookkeeping(&self, table: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("trueup_{table}"),
            Self::Postgres(_) => format!("trueup.{table}"),
        }
    }
}

/// Runs a scenario on SQLite and on PostgreSQL, each time in a new world whose `DATABASE_URL` is an
/// empty database.
pub(crate) fn on_each_database(scenario: impl Fn(&World, &Database)) {
    let run = |world: &World, database: &Database| {
        world.env("DATABASE_URL", database.url());
        println!("on {}", database.url());
        scenario(world, database);
    };
    let world = World::new();
    run(&world, &Database::Sqlite(world.path("system.db")));
    run(&World::new(), &Database::Postgres(Postgres::start()));
}

/// Runs sqlx's own migrator on the folder.
pub(crate) fn sqlx_runs(world: &World, database: &Database, folder: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let migrator = Migrator::new(world.path(folder)).await.map_err(|error| error.to_string())?;
        let done = match database {
            Database::Sqlite(path) => {
                let options =
                    sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
                let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
                let done = migrator.run(&pool).await;
                pool.close().await;
                done
            }
            Database::Postgres(postgres) => {
                let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
                let done = migrator.run(&pool).await;
                pool.close().await;
                done
            }
        };
        done.map_err(|error| error.to_string())
    })
}

/// Copies the quickstart of the repository, with nothing applied.
pub(crate) fn quickstart() -> World {
    let world = World::new();
    for name in ["stack.yaml", "business.db", "questions.yaml", "docs", "seeds", "data/.gitignore"] {
        world.copy(&format!("examples/quickstart/{name}"));
    }
    world.copy("migrations").copy("ontologies").env("TRUEUP_FILE", "examples/quickstart/stack.yaml");
    world
}

/// Copies the example `insight` of the repository.
pub(crate) fn insight() -> World {
    let world = World::new();
    for name in ["examples/insight", "examples/quickstart/business.db", "examples/quickstart/docs"] {
        world.copy(name);
    }
    world.copy("migrations").copy("ontologies");
    world
}

/// Formats the steps of a plan in order, such as `create system.user.admin`.
#[track_caller]
pub(crate) fn steps(plan: &Value) -> Vec<String> {
    let word = |change: &Value, key: &str| change[key].as_str().unwrap().to_owned();
    let changes = plan["changes"].as_array().unwrap_or_else(|| panic!("this is no plan: {plan}"));
    changes.iter().map(|change| format!("{} {}", word(change, "action"), word(change, "address"))).collect()
}

/// Returns the step with an address.
#[track_caller]
pub(crate) fn step<'p>(plan: &'p Value, address: &str) -> &'p Value {
    let changes = plan["changes"].as_array().unwrap_or_else(|| panic!("this is no plan: {plan}"));
    changes
        .iter()
        .find(|change| change["address"] == address)
        .unwrap_or_else(|| panic!("{address} is not among {:?}", steps(plan)))
}

/// Returns the texts of an array, such as `unmanaged`.
pub(crate) fn texts(array: &Value) -> Vec<&str> {
    array.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
