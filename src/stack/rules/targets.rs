//! Targets: business databases, opened read-only.

use std::collections::BTreeMap;

use super::address::{Address, map, wrong_scheme};
use super::connection;
use super::flags::Declared;
use super::values::{distinct, globs, plain_key, read_each, report_unsupported};
use crate::stack::context::Context;
use crate::stack::raw::{Spec, Target as Raw};
use crate::stack::typed::field::{Key, Opt};
use crate::stack::{Target, TargetUrl};

const ACCEPTED: &str = "`sqlite:///absolute/path`, `sqlite://path` relative to this file";

/// Returns all targets, including disabled ones; `None` if one is invalid.
pub(super) fn targets(cx: &Context<'_>, spec: &Spec, flags: &Declared) -> Option<BTreeMap<String, Target>> {
    read_each(spec.targets.entries(), |key, field| {
        plain_key(cx, "target", key);
        target(cx, key, field.value.as_ref()?, flags)
    })
}

fn target(cx: &Context<'_>, key: &Key, raw: &Raw, flags: &Declared) -> Option<Target> {
    let Raw {
        when,
        url,
        connection,
        include,
        exclude,
        require,
        require_read_only,
        backup,
        copy_of,
        samples,
        hide_columns,
        discover,
        protect: _,
    } = raw;
    if let Some(at) = backup.at() {
        report_unsupported(cx, at, "the backup of a target", "remove `backup:`, and copy the file yourself");
    }
    let places = [
        ("copy_of", copy_of.at()),
        ("samples", samples.at()),
        ("hide_columns", hide_columns.at()),
        ("discover", discover.at()),
    ];
    for (key, at) in places.into_iter().filter_map(|(key, at)| Some((key, at?))) {
        report_unsupported(
            cx,
            at,
            &format!("`{key}` of a target"),
            "remove it; `exclude` leaves out whole tables",
        );
    }
    let when = flags.when(cx, when);
    let endpoint = connection::written(url)
        .and_then(|url| {
            connection::endpoint(cx, url, connection, "the address of the database", key.at, ACCEPTED)
        })
        .and_then(|(endpoint, written, at)| {
            map(endpoint, |to| match to {
                Address::Sqlite(path) => Some(TargetUrl::Sqlite(path)),
                Address::Server(url)
                    if matches!(url.expose().scheme(), "postgres" | "postgresql" | "mysql") =>
                {
                    report_unsupported(cx, at, "a target on a server", &format!("accepted: {ACCEPTED}"));
                    None
                }
                Address::Server(_) => {
                    wrong_scheme(cx, at, written, ACCEPTED);
                    None
                }
            })
        });
    let mut include_globs = globs(cx, include);
    if include.at().is_none() {
        include_globs.push("*".to_owned());
    }
    let exclude = globs(cx, exclude);
    let require = require.entries().iter().map(|(table, columns)| {
        let columns = Opt(Some(columns.clone()));
        (table.name.clone(), distinct(cx, &columns, "the column"))
    });
    let require: BTreeMap<String, Vec<String>> = require.collect();
    let when = when.ok()?;
    Some(Target {
        on: flags.values.is_on("enable_target_db") && flags.values.allow(when.as_ref()),
        when,
        endpoint: endpoint?,
        include: include_globs,
        exclude,
        require,
        // Files are often writable for their reader, unlike databases on a server, so the check is
        // opt-in.
        require_read_only: require_read_only.or(false),
        at: cx.at(key.at),
    })
}
