//! Masking of SQL that belongs to files which create the tables that it writes to.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use super::columns::{Columns, Tables};
use super::{blot, found, replaced};
use crate::sql::lexer::{Lexer, Syntax, Token};

/// The least length of a secret that is looked for in what a database says, beside its quotes.
const TELLING: usize = 4;

/// The tables that files create, which tell the secrets among rows that name no columns. All texts of rows for
/// other tables count as secrets. A copy shares the files.
#[derive(Clone, Default)]
pub struct FileTables(Arc<Shared>);

#[derive(Default)]
struct Shared {
    texts: Mutex<Vec<Arc<str>>>,
    /// Read on first use: few rows name no columns, and a folder may have thousands of files.
    tables: OnceLock<Tables>,
}

impl FileTables {
    /// Adds a file. Files are added before the first text is masked, in the order in which they run.
    pub fn add(&self, text: Arc<str>) {
        if let Ok(mut texts) = self.0.texts.lock() {
            texts.push(text);
        }
    }

    /// The text with `…` for each secret.
    pub fn masked(&self, sql: &str) -> String {
        replaced(sql, found(sql, Some(self)), |_| "…".to_owned())
    }

    /// The text with a `*` for each byte of a secret, so that every place in it still fits.
    pub fn masked_same_length(&self, sql: &str) -> String {
        replaced(sql, found(sql, Some(self)), blot)
    }

    /// What a database says of a text, without the text's secrets.
    pub fn without_secrets(&self, message: &str, sql: &str) -> String {
        let mut message = message.to_owned();
        for secret in found(sql, Some(self)) {
            let Some(secret) = sql.get(secret) else { continue };
            for said in [secret.to_owned(), secret.replace("''", "'")] {
                if said.len() >= TELLING {
                    message = message.replace(&said, "…");
                }
                for quote in ['\'', '"'] {
                    message = message.replace(&format!("{quote}{said}{quote}"), &format!("{quote}…{quote}"));
                }
            }
        }
        message
    }

    /// The columns of a table; the tokens begin with its name.
    pub(super) fn columns(&self, table: &[Token<'_>]) -> Columns {
        let read = || {
            let mut tables = Tables::default();
            let texts = self.0.texts.lock().map(|mut texts| std::mem::take(&mut *texts)).unwrap_or_default();
            for text in texts {
                let tokens: Vec<_> = Lexer::code(&text, Syntax::Any).collect();
                tokens.split(|token| token.is_sign(';')).for_each(|statement| tables.add(statement));
            }
            tables
        };
        self.0.tables.get_or_init(read).columns(table)
    }
}

impl fmt::Debug for FileTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileTables(…)")
    }
}
