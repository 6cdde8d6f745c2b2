//! PostgreSQL arrays, as literals (`{1,2}`) or as equivalent JSON lists (`[1, 2]`). Pure.

use super::json;
use crate::catalog::{Column, ValueKind};

/// The maximum number of dimensions in PostgreSQL.
const DEPTH: usize = 6;

/// An array of any number of dimensions, with its items as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Null,
    Text(String),
    List(Vec<Item>),
}

impl Column {
    /// The element type of an array, as a column; `None` for any other type.
    pub fn element(&self) -> Option<Self> {
        let data_type = self.data_type.strip_suffix("[]")?;
        let kind = ValueKind::of_postgres(data_type);
        Some(Self { data_type: data_type.to_owned(), kind, ..self.clone() })
    }
}

impl Array {
    /// Parses either form; `None` where it is invalid, or a literal with bounds (`[0:1]={1,2}`).
    pub fn read(text: &str, element: &Column) -> Option<Self> {
        if text.trim_start().starts_with('[') {
            return from_json(text, element, DEPTH).map(Self);
        }
        let mut walk = Walk { rest: text.trim() };
        let items = walk.list(DEPTH)?;
        walk.rest.is_empty().then_some(Self(items))
    }

    /// All items, of all dimensions.
    pub fn texts(&self) -> Vec<&str> {
        fn add<'a>(items: &'a [Item], texts: &mut Vec<&'a str>) {
            for item in items {
                match item {
                    Item::Null => {}
                    Item::Text(text) => texts.push(text),
                    Item::List(items) => add(items, texts),
                }
            }
        }
        let mut texts = Vec::new();
        add(&self.0, &mut texts);
        texts
    }

    /// The literal as PostgreSQL prints it, with each item converted by `spell`.
    pub fn literal(&self, spell: &impl Fn(&str) -> String) -> String {
        written(&self.0, spell)
    }

    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self
    }
}

fn written(items: &[Item], spell: &impl Fn(&str) -> String) -> String {
    let item = |item: &Item| match item {
        Item::Null => "NULL".to_owned(),
        Item::Text(text) => quoted(&spell(text)),
        Item::List(items) => written(items, spell),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    let is_special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\' | '\u{b}') || c.is_ascii_whitespace();
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(is_special) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Nested lists are further dimensions, unless the element type is JSON.
fn from_json(text: &str, element: &Column, depth: usize) -> Option<Vec<Item>> {
    let depth = depth.checked_sub(1)?;
    let item = |item: String| match item.chars().next()? {
        _ if item == "null" => Some(Item::Null),
        _ if element.kind == ValueKind::Json => Some(Item::Text(item)),
        '[' => from_json(&item, element, depth).map(Item::List),
        '"' => serde_json::from_str(&item).ok().map(Item::Text),
        _ => Some(Item::Text(item)),
    };
    json::items(text)?.into_iter().map(item).collect()
}

struct Walk<'a> {
    rest: &'a str,
}

impl Walk<'_> {
    fn list(&mut self, depth: usize) -> Option<Vec<Item>> {
        let depth = depth.checked_sub(1)?;
        self.eat('{')?;
        let mut items = Vec::new();
        if self.eat('}').is_some() {
            return Some(items);
        }
        loop {
            items.push(match self.rest.trim_start().chars().next()? {
                '{' => Item::List(self.list(depth)?),
                '"' => Item::Text(self.quoted()?),
                _ => self.bare()?,
            });
            if self.eat('}').is_some() {
                return Some(items);
            }
            self.eat(',')?;
        }
    }

    /// Consumes a character and the white space before it.
    fn eat(&mut self, expected: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(expected)?;
        Some(())
    }

    fn quoted(&mut self) -> Option<String> {
        self.eat('"')?;
        let mut text = String::new();
        let mut letters = self.rest.chars();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => text.push(letters.next()?),
                letter => text.push(letter),
            }
        }
        self.rest = letters.as_str();
        Some(text)
    }

    fn bare(&mut self) -> Option<Item> {
        let end = self.rest.find([',', '}', '{', '"', '\\'])?;
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        match word.trim() {
            "" => None,
            word if word.eq_ignore_ascii_case("null") => Some(Item::Null),
            word => Some(Item::Text(word.to_owned())),
        }
    }
}
