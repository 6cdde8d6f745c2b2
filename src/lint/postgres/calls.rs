//! Finds the functions that a PostgreSQL statement calls while it runs, and separates known
//! harmless functions from unknown ones.

use squawk_syntax::ast::{self, AstNode as _, Stmt};

use super::{name, opaque};
use crate::catalog::TableName;
use crate::lint::effect::Effect;

/// Functions of PostgreSQL, and of extensions that generate keys, that change nothing except a
/// sequence or a setting, by family. A function that is not listed is reported as opaque.
const HARMLESS: [&str; 14] = [
    // Date and time.
    "now clock_timestamp statement_timestamp transaction_timestamp timeofday age date_part date_trunc date_bin \
     date_add date_subtract extract make_date make_time make_timestamp make_timestamptz make_interval \
     justify_days justify_hours justify_interval isfinite timezone to_timestamp to_date to_char to_number \
     current_date current_time current_timestamp localtime localtimestamp date timestamp timestamptz",
    // Keys and identifiers.
    "gen_random_uuid uuidv4 uuidv7 uuid_extract_timestamp uuid_extract_version uuid_generate_v1 \
     uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil uuid_ns_dns uuid_ns_url \
     gen_random_bytes gen_salt crypt digest hmac nextval currval lastval pg_get_serial_sequence random \
     random_normal",
    // Conditional expressions.
    "coalesce nullif greatest least num_nulls num_nonnulls row",
    // Strings.
    "lower upper initcap length char_length character_length octet_length bit_length trim btrim ltrim rtrim \
     lpad rpad left right substr substring position strpos starts_with overlay replace translate repeat \
     reverse concat concat_ws format quote_ident quote_literal quote_nullable split_part string_to_array \
     string_to_table regexp_replace regexp_match regexp_matches regexp_split_to_array regexp_split_to_table \
     regexp_count regexp_instr regexp_like regexp_substr ascii chr md5 sha224 sha256 sha384 sha512 encode \
     decode convert convert_from convert_to normalize unistr to_hex to_bin to_oct unaccent casefold text \
     varchar bpchar hashtext hashtextextended similarity parse_ident",
    // Numbers.
    "abs ceil ceiling floor round trunc sign sqrt cbrt power pow exp ln log log10 mod div gcd lcm factorial \
     degrees radians pi sin cos tan cot asin acos atan atan2 sinh cosh tanh asinh acosh atanh width_bucket \
     scale min_scale trim_scale int2 int4 int8 float4 float8 numeric bit_count get_bit get_byte set_bit \
     set_byte",
    // JSON.
    "to_json to_jsonb row_to_json array_to_json json_build_object json_build_array jsonb_build_object \
     jsonb_build_array json_object jsonb_object json_array_length jsonb_array_length json_array_elements \
     jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_each jsonb_each \
     json_each_text jsonb_each_text json_object_keys jsonb_object_keys json_extract_path jsonb_extract_path \
     json_extract_path_text jsonb_extract_path_text json_typeof jsonb_typeof jsonb_set jsonb_set_lax \
     jsonb_insert jsonb_pretty json_strip_nulls jsonb_strip_nulls jsonb_path_query jsonb_path_query_array \
     jsonb_path_query_first jsonb_path_exists jsonb_path_match json_populate_record jsonb_populate_record \
     json_populate_recordset jsonb_populate_recordset json_to_record jsonb_to_record json_to_recordset \
     jsonb_to_recordset jsonb_concat jsonb_delete",
    // Arrays, ranges and rows.
    "array_append array_prepend array_cat array_length array_lower array_upper array_ndims array_dims \
     array_fill array_position array_positions array_remove array_replace array_to_string cardinality unnest \
     generate_series generate_subscripts isempty lower_inc upper_inc lower_inf upper_inf range_merge int4range \
     int8range numrange tsrange tstzrange daterange",
    // Aggregates.
    "count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and \
     bool_or every bit_and bit_or bit_xor range_agg range_intersect_agg any_value mode percentile_cont \
     percentile_disc stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp \
     regr_slope regr_intercept regr_r2 regr_count grouping",
    // Window functions.
    "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value",
    // Full-text search.
    "to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery setweight strip ts_rank \
     ts_rank_cd ts_headline numnode querytree tsvector_to_array array_to_tsvector",
    // Network addresses, enums and XML.
    "host hostmask netmask network family masklen broadcast abbrev inet_merge inet_same_family enum_first \
     enum_last enum_range xmlelement xmlforest xmlagg xmlconcat xmlcomment xpath xpath_exists",
    // Session information.
    "version current_database current_schema current_schemas current_user session_user user current_role \
     current_setting set_config inet_client_addr inet_server_addr pg_backend_pid txid_current \
     pg_current_xact_id pg_is_in_recovery pg_sleep",
    // System catalog, and transaction-level advisory locks.
    "to_regclass to_regtype to_regproc to_regprocedure to_regnamespace to_regrole format_type obj_description \
     col_description shobj_description pg_typeof pg_get_constraintdef pg_get_expr pg_get_indexdef \
     pg_get_viewdef pg_get_functiondef pg_get_triggerdef pg_relation_size pg_total_relation_size pg_table_size \
     pg_indexes_size pg_database_size pg_column_size pg_size_pretty has_table_privilege has_schema_privilege \
     has_column_privilege has_database_privilege has_function_privilege has_sequence_privilege pg_has_role \
     pg_table_is_visible pg_type_is_visible pg_advisory_xact_lock pg_try_advisory_xact_lock",
    // Geometric types.
    "point box circle line lseg path polygon area center diameter radius height width npoints",
];

/// Returns the calls whose function is unknown, or that change the search path.
pub(super) fn unknown_calls(statement: &Stmt) -> Vec<Effect> {
    if !runs(statement) {
        return Vec::new();
    }
    let calls = statement.syntax().descendants().filter_map(ast::CallExpr::cast);
    calls.filter(|call| !is_stored(call)).filter_map(|call| effect(&call)).collect()
}

/// Whether a function is known to be harmless.
pub(super) fn is_known(function: &TableName) -> bool {
    let is_builtin = function.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
    is_builtin && HARMLESS.iter().any(|family| family.split_whitespace().any(|known| known == function.name))
}

fn effect(call: &ast::CallExpr) -> Option<Effect> {
    // EXTRACT, EXISTS and others with a syntax of their own have no function name here.
    let TableName { schema, name } = name(call.expr()?.syntax());
    if !is_known(&TableName { schema, name: name.clone() }) {
        return opaque(&format!("what the function {name} does is not looked into")).pop();
    }
    (name == "set_config" && may_set_path(call)).then_some(Effect::ChangesSearchPath)
}

/// Whether a call of `set_config` may change the search path.
fn may_set_path(call: &ast::CallExpr) -> bool {
    let setting =
        call.arg_list().and_then(|list| list.args().next()).map(|arg| arg.syntax().text().to_string());
    let literal = setting.as_deref().and_then(|text| text.trim().strip_prefix('\'')?.strip_suffix('\''));
    literal.is_none_or(|setting| setting.eq_ignore_ascii_case("search_path") || setting.contains('\''))
}

/// Whether a statement evaluates its expressions instead of storing them for later.
fn runs(statement: &Stmt) -> bool {
    matches!(
        statement,
        Stmt::Select(_)
            | Stmt::CompoundSelect(_)
            | Stmt::ParenSelect(_)
            | Stmt::Values(_)
            | Stmt::Insert(_)
            | Stmt::Update(_)
            | Stmt::Delete(_)
            | Stmt::Merge(_)
            | Stmt::SelectInto(_)
            | Stmt::CreateTableAs(_)
            | Stmt::CreateMaterializedView(_)
            | Stmt::Explain(_)
            | Stmt::Copy(_)
            | Stmt::Declare(_)
            | Stmt::AlterTable(_)
    )
}

/// Whether `ALTER TABLE` only stores the call for future rows. Calls in an index or a generated
/// column must be immutable, so they change nothing.
fn is_stored(call: &ast::CallExpr) -> bool {
    call.syntax()
        .ancestors()
        .any(|node| ast::SetDefault::can_cast(node.kind()) || ast::GeneratedConstraint::can_cast(node.kind()))
}
