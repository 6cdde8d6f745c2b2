//! Groups equal findings of a file, so that a finding of many statements is shown once.

use std::collections::BTreeSet;

use super::{Finding, Statement};

/// A finding with the statements that it applies to.
#[derive(Debug)]
pub struct Grouped<'a> {
    pub finding: &'a Finding,
    /// The number of statements.
    pub count: usize,
    /// Their lines, without duplicates.
    pub lines: BTreeSet<usize>,
}

/// Groups equal findings, in the order of their first lines.
pub fn grouped(statements: &[Statement]) -> Vec<Grouped<'_>> {
    let mut groups: Vec<Grouped<'_>> = Vec::new();
    for statement in statements {
        for finding in &statement.findings {
            match groups.iter_mut().find(|group| group.finding == finding) {
                Some(group) => {
                    group.count += 1;
                    group.lines.insert(statement.line);
                }
                None => groups.push(Grouped { finding, count: 1, lines: [statement.line].into() }),
            }
        }
    }
    groups
}

impl Grouped<'_> {
    /// Formats the lines, with consecutive lines as a range: at most `most` ranges, then `…`.
    pub fn line_list(&self, most: usize) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for line in &self.lines {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *line => *last = *line,
                _ => ranges.push((*line, *line)),
            }
        }
        let text = |(first, last): &(usize, usize)| match last - first {
            0 => first.to_string(),
            1 => format!("{first}, {last}"),
            _ => format!("{first}-{last}"),
        };
        let mut texts: Vec<String> = ranges.iter().take(most).map(text).collect();
        if ranges.len() > most {
            texts.push("…".to_owned());
        }
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::rules;

    fn at(lines: &[usize]) -> Vec<Statement> {
        let finding = |line: usize| Finding::of(&rules::DROP_TABLE, if line == 7 { "other" } else { "same" });
        let statement = |line: &usize| Statement {
            bytes: 0..0,
            line: *line,
            risks: rules::DROP_TABLE.risk.into(),
            findings: vec![finding(*line)],
        };
        lines.iter().map(statement).collect()
    }

    #[test]
    fn the_same_words_are_one_group() {
        let statements = at(&[1, 1, 2, 3, 7, 9, 10]);

        let groups = grouped(&statements);

        let texts = groups.iter().map(|group| (group.count, group.line_list(9)));
        assert_eq!(texts.collect::<Vec<_>>(), [(6, "1-3, 9, 10".to_owned()), (1, "7".to_owned())]);
    }

    #[test]
    fn a_long_list_of_lines_is_cut() {
        let statements = at(&[1, 3, 5, 8, 11]);
        assert_eq!(grouped(&statements)[0].line_list(3), "1, 3, 5, …");
    }
}
