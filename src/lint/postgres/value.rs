//! Detects default expressions of a new column that contain a volatile function: their value
//! differs by row, so PostgreSQL must rewrite the table.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::{calls, name};

/// Volatile functions of PostgreSQL and its extensions. Every other harmless function is immutable
/// or stable.
const VOLATILE: &str = "clock_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7 \
    uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 gen_random_bytes gen_salt nextval currval lastval \
    setval set_config pg_sleep pg_sleep_for pg_sleep_until pg_is_in_recovery pg_relation_size \
    pg_total_relation_size pg_table_size pg_indexes_size pg_database_size pg_advisory_xact_lock \
    pg_try_advisory_xact_lock";

pub(super) fn differs_by_row(value: &SyntaxNode) -> bool {
    let mut calls = value.descendants().filter_map(ast::CallExpr::cast);
    calls.any(|call| {
        // EXTRACT and others with a syntax of their own have no function name here, and none of
        // them is volatile.
        let Some(function) = call.expr().map(|function| name(function.syntax())) else { return false };
        let is_volatile = VOLATILE.split_whitespace().any(|volatile| volatile == function.name);
        is_volatile || !calls::is_known(&function)
    })
}
