//! Whether an expression that a new column gets by default differs by row, so that PostgreSQL must
//! write the table anew: it does where a function in it is volatile.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::{calls, name};

/// Functions of PostgreSQL and of its extensions that give another value whenever they are called.
/// Every other harmless one is immutable or stable.
const VOLATILE: &str = "clock_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7 \
    uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 gen_random_bytes gen_salt nextval currval lastval \
    setval set_config pg_sleep pg_sleep_for pg_sleep_until pg_is_in_recovery pg_relation_size \
    pg_total_relation_size pg_table_size pg_indexes_size pg_database_size pg_advisory_xact_lock \
    pg_try_advisory_xact_lock";

/// Whether rows get values of their own.
pub(super) fn differs_by_row(value: &SyntaxNode) -> bool {
    let mut calls = value.descendants().filter_map(ast::CallExpr::cast);
    calls.any(|call| {
        // EXTRACT and others with words of their own in them have no name here, and none is volatile.
        let Some(function) = call.expr().map(|function| name(function.syntax())) else { return false };
        let is_volatile = VOLATILE.split_whitespace().any(|volatile| volatile == function.name);
        is_volatile || !calls::is_known(&function)
    })
}
