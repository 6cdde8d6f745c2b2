//! Reads CSV as defined by RFC 4180. The csv crate returns the same empty field for `a,,b` and
//! `a,"",b`. Here the first is NULL and the second an empty text, and every record has its
//! location.

use std::borrow::Cow;
use std::ops::Range;

/// One record, which may span several lines.
pub(super) struct Record<'t> {
    /// The fields; `None` for an empty field without quotes.
    pub fields: Vec<Option<Cow<'t, str>>>,
    pub at: Range<usize>,
}

/// A syntax error in the text.
pub(super) struct Broken {
    pub at: Range<usize>,
    pub message: &'static str,
    pub help: &'static str,
}

const QUOTE_THE_FIELD: &str = "quote the whole field, and double the quotes inside of it";

/// Iterates over all records and skips empty lines. Ends after the first syntax error.
pub(super) fn records(text: &str) -> impl Iterator<Item = Result<Record<'_>, Broken>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let read = record(text, at);
            at = read.as_ref().map_or(text.len(), |(_, next)| *next);
            match read {
                Ok((record, _)) if record.fields.len() == 1 && record.fields.first() == Some(&None) => {}
                read => return Some(read.map(|(record, _)| record)),
            }
        }
        None
    })
}

fn record(text: &str, start: usize) -> Result<(Record<'_>, usize), Broken> {
    let mut fields = Vec::new();
    let mut at = start;
    loop {
        let (field, end) = field(text, at)?;
        fields.push(field);
        let rest = text.get(end..).unwrap_or("");
        if rest.starts_with(',') {
            at = end + 1;
            continue;
        }
        let newline = if rest.starts_with("\r\n") { 2 } else { usize::from(!rest.is_empty()) };
        return Ok((Record { fields, at: start..end }, end + newline));
    }
}

/// Returns a field and the offset of its end: a comma, a line break or the end of the text.
fn field(text: &str, start: usize) -> Result<(Option<Cow<'_, str>>, usize), Broken> {
    let rest = text.get(start..).unwrap_or("");
    if !rest.starts_with('"') {
        let length = rest.find([',', '\n']).unwrap_or(rest.len());
        let plain = rest.get(..length).unwrap_or("");
        let plain = if rest.get(length..).is_some_and(|end| end.starts_with(',')) {
            plain
        } else {
            plain.strip_suffix('\r').unwrap_or(plain)
        };
        // Old spreadsheets end lines with a carriage return alone, which would make the whole file
        // one header.
        if let Some(end) = plain.find('\r') {
            return Err(Broken {
                at: start..start + end,
                message: "a line that ends with a carriage return alone",
                help: "save the file with line feeds, or quote the field when the carriage return belongs to it",
            });
        }
        if let Some(quote) = plain.find('"') {
            let at = start + quote..start + quote + 1;
            return Err(Broken {
                at,
                message: "a quote inside of a field that does not begin with one",
                help: QUOTE_THE_FIELD,
            });
        }
        return Ok(((!plain.is_empty()).then_some(Cow::Borrowed(plain)), start + plain.len()));
    }
    let mut end = start + 1;
    loop {
        let Some(quote) = text.get(end..).and_then(|rest| rest.find('"')).map(|quote| quote + end) else {
            return Err(Broken {
                at: start..start + 1,
                message: "a quoted field that does not end",
                help: QUOTE_THE_FIELD,
            });
        };
        end = quote + 1;
        let after = text.get(end..).unwrap_or("");
        if after.starts_with('"') {
            end += 1;
            continue;
        }
        if !(after.is_empty() || after.starts_with([',', '\n']) || after.starts_with("\r\n")) {
            return Err(Broken {
                at: quote..quote + 1,
                message: "text after the end of a quoted field",
                help: QUOTE_THE_FIELD,
            });
        }
        let inner = text.get(start + 1..quote).unwrap_or("");
        let inner =
            if inner.contains('"') { Cow::Owned(inner.replace("\"\"", "\"")) } else { Cow::Borrowed(inner) };
        return Ok((Some(inner), end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<Option<String>>> {
        let own =
            |record: Record<'_>| record.fields.into_iter().map(|field| field.map(Cow::into_owned)).collect();
        records(text).map(|record| own(record.ok().unwrap())).collect()
    }

    #[test]
    fn an_empty_field_is_null_and_a_quoted_empty_one_is_a_text() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            fields("a,,\"\"\r\n\n\"x \"\"y\"\"\",\"1\n2\",z"),
            [vec![text("a"), None, text("")], vec![text("x \"y\""), text("1\n2"), text("z")]]
        );
    }

    #[test]
    fn what_is_no_csv_is_refused() {
        for broken in
            ["a,\"b", "a\"b,c", "\"a\"b,c", "id\r1\r2\r", "id,name\r1,pen\r", "id,name\n1,pen\r2,ink\n"]
        {
            assert!(records(broken).any(|record| record.is_err()), "{broken}");
        }
    }
}
