//! Help texts of failed migrations.

use std::fmt;

/// Which help a failed migration is reported with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// The migration ran in one transaction, which was rolled back.
    RolledBack,
    /// The migration runs outside a transaction, so earlier statements are kept.
    Resumes,
    /// Another session held a lock during all attempts.
    Lock {
        tries: usize,
        /// The blocking sessions, where known.
        on: Option<String>,
    },
    /// The user stopped the run while the migration waited for another session.
    Stopped {
        /// The blocking sessions, where known.
        on: Option<String>,
    },
    /// A statement timed out.
    Slow,
    /// A statement cannot run in a transaction.
    Outside,
    /// A statement uses an enum value that the same transaction adds.
    NewValue,
    /// The connection was lost.
    Lost,
    /// The disk of the database is full.
    Full,
    /// The account lacks a privilege.
    Denied,
    /// An object to create exists already.
    Exists,
    /// The migration failed in a scratch database.
    Scratch {
        /// Objects of the real database that could not be copied to the scratch database.
        left: Vec<String>,
        /// The version of the `baseline` command, where that was running.
        baseline: Option<i64>,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RolledBack => f.write_str(
                "nothing of this migration was kept; correct the file and run `trueup apply` again, which \
                 continues here",
            ),
            Self::Resumes => f.write_str(
                "what comes before this statement is kept; correct the file from here on and run `trueup apply` \
                 again, which continues at this statement",
            ),
            Self::Lock { tries, on } => write!(
                f,
                "another session holds a lock that this statement needs{}; it was tried {tries} times; run \
                 `trueup apply` again when that session is done (`SELECT pg_terminate_backend(PID)` ends it), or \
                 raise `system.lock_timeout`",
                named(on.as_ref())
            ),
            Self::Stopped { on } => write!(
                f,
                "it waited for another session{}, and was given up because the run was asked to stop; \
                 `trueup apply` begins it again",
                named(on.as_ref())
            ),
            Self::Outside => f.write_str(
                "nothing of this migration was kept; let the file begin with the line `-- no-transaction` and run \
                 `trueup apply` again",
            ),
            Self::NewValue => f.write_str(
                "nothing of this migration was kept; a value is of use once the transaction that adds it has ended: \
                 move ALTER TYPE … ADD VALUE into a migration before this one, and run `trueup apply` again",
            ),
            Self::Lost => f.write_str(
                "the connection was lost while it ran: the server stopped, or somebody ended the session; \
                 `trueup apply` looks what is there and goes on",
            ),
            Self::Full => f.write_str(
                "make room on the disk of the database and run `trueup apply` again, which continues here",
            ),
            Self::Denied => f.write_str(
                "the account of `system.url` lacks a right that this statement needs: grant it and run \
                 `trueup apply` again. To make tables in schema public takes `GRANT CREATE ON SCHEMA public TO …` \
                 from PostgreSQL 15 on; to change a table, its owner or a member of that role",
            ),
            Self::Scratch { left, baseline } => {
                f.write_str(
                    "it was tried in a scratch database, to compare what it makes with what is there; nothing was \
                     recorded, and nothing was run on the database itself",
                )?;
                if !left.is_empty() {
                    write!(
                        f,
                        "; the scratch database could not be given what it may need, which no migration makes: {}",
                        left.join(", ")
                    )?;
                }
                if let Some(version) = baseline {
                    write!(
                        f,
                        "; if the database has all of them, `trueup baseline --to {version} --unchecked` records them \
                         without comparing"
                    )?;
                }
                Ok(())
            }
            Self::Exists => f.write_str(
                "what it makes is there already, perhaps made by hand: undo that, or make it where it is missing only \
                 (IF NOT EXISTS), and run `trueup apply` again; where all of the file is there, `trueup baseline --to \
                 VERSION` compares the schema and records the file as applied",
            ),
            Self::Slow => f.write_str(
                "it was cancelled, as after `system.statement_timeout`; raise that, or correct the file, and run \
                 `trueup apply` again",
            ),
        }
    }
}

fn named(sessions: Option<&String>) -> String {
    sessions.map(|on| format!(" ({on})")).unwrap_or_default()
}
