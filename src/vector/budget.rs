//! Limits the memory of an observation: a server may list documents without end.

use super::observed::Marks;
use super::owner::Owner;

/// The maximum number of documents in all collections together.
const MOST_DOCUMENTS: usize = 1_000_000;
/// The maximum size of their ids and marks.
const MOST_BYTES: usize = 256 << 20;

pub(super) struct Budget {
    documents: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { documents: MOST_DOCUMENTS, bytes: MOST_BYTES }
    }
}

impl Budget {
    /// Subtracts one document; the error says which limit is exceeded.
    pub(super) fn take(&mut self, id: &str, marks: &Marks) -> Result<(), String> {
        let Marks { owner, fingerprint: _, source, embedder, run: _ } = marks;
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let kept = match owner {
            // Only a digest is kept.
            None => 0,
            Some(Owner { stack, environment, identity: _ }) => {
                id.len() + stack.len() + length(environment) + length(source) + length(embedder)
            }
        };
        let too_many = || format!("has more than {MOST_DOCUMENTS} documents");
        let too_long = || format!("has more than {} MB of ids and sources", MOST_BYTES >> 20);
        self.documents = self.documents.checked_sub(1).ok_or_else(too_many)?;
        self.bytes = self.bytes.checked_sub(kept).ok_or_else(too_long)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(owner: Option<Owner>) -> Marks {
        Marks { owner, fingerprint: None, source: None, embedder: None, run: None }
    }

    #[test]
    fn f08_documents_are_counted_and_long_ids_only_where_they_are_kept() {
        let owner = Owner { stack: "s".to_owned(), environment: None, identity: None };
        let long = "x".repeat(MOST_BYTES / 4);
        let mut budget = Budget::default();

        for _ in 0..4 {
            budget.take(&long, &marks(None)).unwrap();
        }
        for _ in 0..3 {
            budget.take(&long, &marks(Some(owner.clone()))).unwrap();
        }
        let too_long = budget.take(&long, &marks(Some(owner))).unwrap_err();
        let mut budget = Budget { documents: 1, ..Budget::default() };
        budget.take("a", &marks(None)).unwrap();
        let too_many = budget.take("b", &marks(None)).unwrap_err();

        assert_eq!(too_long, "has more than 256 MB of ids and sources");
        assert_eq!(too_many, "has more than 1000000 documents");
    }
}
