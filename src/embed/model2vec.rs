//! Static embedders: the vector of a text is the mean of the vectors of its tokens. Computes as model2vec does
//! (Tulkens and van Dongen, 2024), so that Python gets equal vectors from an exported table.

use std::sync::OnceLock;

use ahash::AHashMap;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{EncodeInput, Tokenizer};

use super::Error;

/// Longer texts are cut, as model2vec cuts them: first at this many tokens of median length, then at this many tokens.
const MOST_TOKENS: usize = 512;
const UNKNOWN: &str = "[UNK]";

/// The built-in table: a line of text, the number of tokens, the number of dimensions, and the numbers in 8 bits.
/// `scripts/distil-static` writes it.
const VECTORS: &[u8] = include_bytes!("../../models/static/vectors.bin");
const VOCABULARY: &str = include_str!("../../models/static/vocab.txt");
const HEADER: &[u8] = b"trueup static 1\n";
/// The dimensions of the built-in table.
pub(super) const DIMENSIONS: usize = 256;
/// Changes with the built-in table; a test compares it with the files.
pub(super) const IDENTITY: &str = "static:v1:256";

/// A table of token vectors with its tokenizer.
pub(super) struct TokenVectors {
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    /// The rows of the table one after the other. Their common scale is omitted, because the mean is normalised.
    numbers: &'static [u8],
    /// In characters.
    median_length: usize,
}

impl TokenVectors {
    /// Returns the built-in table, which is prepared at the first call.
    pub(super) fn built_in() -> Result<&'static Self, Error> {
        static TABLE: OnceLock<Result<TokenVectors, String>> = OnceLock::new();
        TABLE.get_or_init(Self::read_built_in).as_ref().map_err(|why| Error::Table(why.clone()))
    }

    fn read_built_in() -> Result<Self, String> {
        let numbers = VECTORS
            .strip_prefix(HEADER)
            .and_then(|rest| rest.split_at_checked(8))
            .map(|(_, numbers)| numbers)
            .ok_or("the table has another format")?;
        let tokens: Vec<&str> = VOCABULARY.lines().collect();
        if numbers.len() != tokens.len() * DIMENSIONS {
            return Err(format!("the table has {} numbers for {} tokens", numbers.len(), tokens.len()));
        }
        let vocabulary: AHashMap<String, u32> =
            tokens.iter().zip(0_u32..).map(|(token, id)| ((*token).to_owned(), id)).collect();
        let model = WordPiece::builder().vocab(vocabulary).unk_token(UNKNOWN.to_owned()).build();
        let mut tokenizer = Tokenizer::new(model.map_err(|error| error.to_string())?);
        tokenizer.with_normalizer(Some(BertNormalizer::default())).map_err(|error| error.to_string())?;
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        let mut lengths: Vec<usize> = tokens.iter().map(|token| token.chars().count()).collect();
        lengths.sort_unstable();
        let median_length = lengths.get(lengths.len() / 2).copied().unwrap_or(1);
        Ok(Self { unknown: tokenizer.token_to_id(UNKNOWN), tokenizer, numbers, median_length })
    }

    /// Returns a normalised vector; all zeros for a text without a known token.
    pub(super) fn embed(&self, text: &str) -> Result<Vec<f32>, Error> {
        let end = text.char_indices().nth(MOST_TOKENS * self.median_length).map_or(text.len(), |(at, _)| at);
        let text = EncodeInput::from(text.get(..end).unwrap_or(text));
        let encoding =
            self.tokenizer.encode_fast(text, false).map_err(|error| Error::Table(error.to_string()))?;
        let known = encoding.get_ids().iter().filter(|id| Some(**id) != self.unknown);
        let mut sum = vec![0_i32; DIMENSIONS];
        for id in known.take(MOST_TOKENS) {
            let start = usize::try_from(*id).unwrap_or(usize::MAX).saturating_mul(DIMENSIONS);
            let row = self.numbers.get(start..start.saturating_add(DIMENSIONS)).unwrap_or_default();
            for (sum, number) in sum.iter_mut().zip(row) {
                *sum += i32::from(number.cast_signed());
            }
        }
        // Sums of integers are exact, and so small that floats hold them.
        #[expect(clippy::cast_precision_loss, reason = "a sum of 512 numbers of 8 bits is exact in 24 bits")]
        let vector = sum.into_iter().map(|sum| sum as f32).collect();
        Ok(super::normalise(vector))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn similarity(one: &str, other: &str) -> f32 {
        let table = TokenVectors::built_in().unwrap();
        let (one, other) = (table.embed(one).unwrap(), table.embed(other).unwrap());
        one.iter().zip(other).map(|(one, other)| one * other).sum()
    }

    #[test]
    fn words_of_one_meaning_are_near_each_other() {
        for (question, near, far) in [
            ("who earns the most", "salary of employees", "stock of warehouses"),
            ("money that customers owe us", "unpaid invoices", "holidays of staff"),
            ("cars sold last year", "vehicle sales", "patients and diagnoses"),
        ] {
            let (near, far) = (similarity(question, near), similarity(question, far));
            assert!(near > far + 0.05, "{question}: {near} {far}");
        }
    }

    #[test]
    fn case_accents_and_unknown_characters_do_not_matter() {
        assert!((similarity("Café ORDERS", "cafe orders") - 1.0).abs() < 1e-6);
        assert!((similarity("ORDERS", "orders") - 1.0).abs() < 1e-6);
        assert!(TokenVectors::built_in().unwrap().embed("").unwrap().iter().all(|number| *number == 0.0));
    }

    #[test]
    fn the_text_is_cut_as_model2vec_cuts_it() {
        let long = "order ".repeat(10_000);
        assert!((similarity(&long, &format!("{long} customer customer customer")) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_built_in_table_is_the_one_of_its_identity() {
        let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().take(4).copied().collect::<Vec<u8>>();
        let files = [digest(VECTORS), digest(VOCABULARY.as_bytes())];
        let known = [vec![0x9f, 0x98, 0x7c, 0x3a], vec![0x07, 0xec, 0xed, 0x37]];
        assert_eq!((IDENTITY, files), ("static:v1:256", known), "raise the version with the table");
    }
}
