//! Creates or updates one account. The password is hashed before the transaction begins, so that no lock is
//! held meanwhile.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::OnceCell;

use super::observe::clashes;
use super::refusal::{refusal, shape_and_row};
use super::{Declared, address, password};
use crate::address::Address;
use crate::catalog::{Column, Snapshot, Table, TableName};
use crate::connection::{Client, limit};
use crate::journal::password_version::{account_key, version_print};
use crate::journal::{Entry, RunId, inventory};
use crate::rows::fits::as_taken;
use crate::rows::{
    Error, Result, Source, equals, fill_id, not_given, parameters, write_expression, write_expressions,
};
use crate::sql::{self, Database, Dialect, Transaction, identifier};
use crate::stack::{self, Cell, PasswordHash, Secret};

#[derive(Debug, Clone)]
pub struct UserChange {
    pub(super) address: Address,
    pub(super) accounts: stack::Accounts,
    pub(super) username: String,
    /// All accounts that the spec declares.
    pub(super) declared: Arc<Together>,
    /// The declared columns except name and password.
    pub(super) columns: Vec<(String, Cell)>,
    /// The password version to record.
    pub(super) version: u32,
    /// Whether the spec declares a version: then it is recorded even for an account that this tool
    /// did not create.
    pub(super) records: bool,
    pub(super) task: Task,
}

/// All declared accounts, which must not be one row. They are compared once for all steps of a run.
#[derive(Debug)]
pub(super) struct Together {
    declared: Vec<Declared>,
    clash: OnceCell<Option<String>>,
}

impl Together {
    pub(super) fn new(declared: Vec<Declared>) -> Self {
        Self { declared, clash: OnceCell::new() }
    }

    /// The message about two accounts that are one row.
    async fn clash(
        &self,
        accounts: &stack::Accounts,
        schema: &Snapshot,
        database: &Database,
    ) -> sql::Result<Option<&str>> {
        let at = |username: &str| {
            let account = self.declared.iter().find(|account| account.username == username);
            account.map(|account| account.at.clone())
        };
        let first = || async {
            let clashes = clashes(accounts, &self.declared, schema, database).await?;
            Ok(clashes.first().map(|clash| clash.message(at)))
        };
        Ok(self.clash.get_or_try_init(first).await?.as_deref())
    }
}

#[derive(Debug, Clone)]
pub(super) enum Task {
    /// The account does not exist.
    Create { password: Secret, hash: PasswordHash },
    /// The account exists. The named columns are updated, and the password where it is given.
    Update { differs: Vec<String>, password: Option<(Secret, PasswordHash)> },
}

impl UserChange {
    /// The table where a new account inserts a row.
    pub(crate) fn table(&self) -> TableName {
        TableName::parse(&self.accounts.table)
    }
}

/// Executes the change.
pub(crate) async fn apply(change: &UserChange, client: &Client, run: &RunId) -> Result<()> {
    let database = client.database().await?;
    let schema = client.catalog().await?;
    let name = change.table();
    let shape = |message| Error::Shape { address: change.address.to_string(), message };
    let table = schema.tables.get(&name).ok_or_else(|| shape(format!("table {name} does not exist")))?;
    let UserChange { accounts, username, columns, .. } = change;
    let row = shape_and_row(accounts, &name, username, columns, (&schema, database.dialect()));
    if let Some(refused) = row.and_then(|(shape, row)| refusal(accounts, &shape, &row)) {
        return Err(shape(refused.message));
    }
    if matches!(change.task, Task::Create { .. }) {
        // A migration of this run may have made the table.
        let clash = change.declared.clash(accounts, &schema, &database).await;
        if let Some(clash) = clash.map_err(Error::doing(format!("writing {}", change.address)))? {
            return Err(shape(clash.to_owned()));
        }
    }
    let target = Target { name, table, change };
    let doing = || Error::doing(format!("writing {}", change.address));

    match &change.task {
        Task::Create { password, hash } if !target.exists(&database).await.map_err(doing())? => {
            let hashed = password::hash(&change.address, password, *hash).await?;
            let row = target.row(database.dialect(), Some(hashed), |_| true)?;
            let lacking =
                not_given(table, &row.iter().map(|(column, _)| column.name.as_str()).collect::<Vec<_>>());
            if !lacking.is_empty() {
                return Err(shape(format!("{} needs a value for {}", target.name, lacking.join(", "))));
            }
            let mut transaction = database.begin().await.map_err(doing())?;
            client.check_lock().await?;
            limit(&mut transaction).await.map_err(doing())?;
            if target.insert(row, &mut transaction).await.map_err(doing())? {
                inventory::record(&mut transaction, run, &[target.entry()]).await.map_err(doing())?;
            }
            transaction.commit().await.map_err(doing())
        }
        // An interrupted run created it already, so this update writes equal values.
        Task::Create { .. } => target
            .update(&database, target.row(database.dialect(), None, |_| true)?, None)
            .await
            .map_err(doing()),
        Task::Update { differs, password } => {
            let hashed = match password {
                Some((secret, hash)) => Some(password::hash(&change.address, secret, *hash).await?),
                None => None,
            };
            let record = (hashed.is_some() || change.records).then_some(run);
            let row =
                target.row(database.dialect(), hashed, |column| differs.iter().any(|name| name == column))?;
            client.check_lock().await?;
            target.update(&database, row, record).await.map_err(doing())
        }
    }
}

struct Target<'a> {
    name: TableName,
    table: &'a Table,
    change: &'a UserChange,
}

type Values<'a> = Vec<(&'a Column, Option<String>)>;

impl<'a> Target<'a> {
    fn column(&self, name: &str) -> Result<&'a Column> {
        self.table.column(name).ok_or_else(|| Error::Shape {
            address: self.change.address.to_string(),
            message: format!("column {name} does not exist in table {}", self.name),
        })
    }

    /// The name, then the chosen columns, then the password's hash.
    fn row(
        &self,
        dialect: Dialect,
        hashed: Option<String>,
        chosen: impl Fn(&str) -> bool,
    ) -> Result<Values<'a>> {
        let UserChange { accounts, username, columns, .. } = self.change;
        let mut row = vec![(self.column(&accounts.username)?, Some(username.clone()))];
        for (name, cell) in columns.iter().filter(|(name, _)| chosen(name)) {
            let column = self.column(name)?;
            row.push((column, cell.text().map(|text| as_taken(dialect, column, text).to_owned())));
        }
        if let Some(hashed) = hashed {
            row.push((self.column(&accounts.password)?, Some(hashed)));
        }
        Ok(row)
    }

    fn source(dialect: Dialect, row: &Values<'_>) -> Source {
        let (columns, values): (Vec<&Column>, Vec<_>) =
            row.iter().map(|(column, text)| (*column, text.as_deref())).unzip();
        Source::new(dialect, row.len(), &[parameters(dialect, &columns, values)])
    }

    async fn exists(&self, database: &Database) -> sql::Result<bool> {
        let Some(column) = self.table.column(&self.change.accounts.username) else { return Ok(false) };
        let source = Self::source(database.dialect(), &vec![(column, Some(self.change.username.clone()))]);
        let sql = format!(
            "SELECT 1 FROM {} AS t JOIN {} ON {}",
            self.name.located(database.dialect()),
            source.sql,
            equals(database.dialect(), column, 0)
        );
        Ok(!database.query(&sql, &source.values).await?.is_empty())
    }

    /// Inserts the row; returns false where another session inserted it first.
    async fn insert(&self, mut row: Values<'a>, transaction: &mut Transaction) -> sql::Result<bool> {
        let dialect = transaction.dialect();
        let given: Vec<&str> = row.iter().map(|(column, _)| column.name.as_str()).collect();
        if let Some(id) = fill_id(self.table, &given) {
            row.push((id, Some(uuid::Uuid::new_v4().to_string())));
        }
        let source = Self::source(dialect, &row);
        let names = row.iter().map(|(column, _)| identifier(&column.name));
        let is_there = row.first().map(|(username, _)| equals(dialect, username, 0));
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {} \
             WHERE NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {})",
            names.collect::<Vec<_>>().join(", "),
            write_expressions(dialect, row.iter().map(|(column, _)| *column)),
            source.sql,
            is_there.unwrap_or_default(),
            table = self.name.located(dialect),
        );
        Ok(transaction.execute(&sql, &source.values).await? > 0)
    }

    /// Sets the columns after the name, which comes first. `record` also writes the version to the
    /// inventory.
    async fn update(&self, database: &Database, row: Values<'a>, record: Option<&RunId>) -> sql::Result<()> {
        let dialect = database.dialect();
        let mut transaction = database.begin().await?;
        limit(&mut transaction).await?;
        if let Some((username, _)) = row.first().filter(|_| row.len() > 1) {
            let source = Self::source(dialect, &row);
            let set = row.iter().enumerate().skip(1).map(|(at, (column, _))| {
                format!("{} = {}", identifier(&column.name), write_expression(dialect, column, at))
            });
            let sql = format!(
                "UPDATE {} AS t SET {} FROM {} WHERE {}",
                self.name.located(dialect),
                set.collect::<Vec<_>>().join(", "),
                source.sql,
                equals(dialect, username, 0)
            );
            transaction.execute(&sql, &source.values).await?;
        }
        if let Some(run) = record {
            inventory::record(&mut transaction, run, &[self.entry()]).await?;
        }
        transaction.commit().await
    }

    fn entry(&self) -> Entry {
        let UserChange { accounts, username, version, .. } = self.change;
        let place = json!({ "key": { &accounts.username: username }, "table": self.name.to_string() });
        Entry {
            address: address(username),
            place: place.to_string(),
            key: account_key(username),
            digest: version_print(*version),
        }
    }
}
