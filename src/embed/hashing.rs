//! Feature hashing (Weinberger et al., 2009): words and character n-grams of a text are hashed into a
//! vector of fixed length. Needs no model and no network. The result must be the same on every machine and
//! forever: the golden test below must not be changed without raising [`VERSION`].

use std::collections::BTreeMap;

use super::normalise;

/// Raised when the vector of any text changes.
const VERSION: u32 = 1;
/// Words are weighted higher than n-grams, because they carry more meaning.
const WORD_WEIGHT: f32 = 1.0;
/// Lower, because a word has many n-grams.
const GRAM_WEIGHT: f32 = 0.35;
/// The lengths of character n-grams; `^` and `$` mark the ends of a word.
const GRAMS: [usize; 2] = [3, 4];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    dimensions: usize,
}

impl Hashing {
    /// `dimensions` is raised to 1 if it is 0.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions: dimensions.max(1) }
    }

    pub(super) fn identity(&self) -> String {
        format!("hashing:v{VERSION}:{}", self.dimensions)
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Returns an L2-normalised vector; all zeros when the text has no word.
    pub(super) fn embed(&self, text: &str) -> Vec<f32> {
        // Sorted by hash, because the sum of floats depends on their order.
        let mut counts: BTreeMap<u64, (f32, f32)> = BTreeMap::new();
        let mut count = |kind: u8, feature: &[char], weight: f32| {
            let entry = counts.entry(hash(kind, feature)).or_insert((weight, 0.0));
            entry.1 += 1.0;
        };
        for word in words(text) {
            count(b'w', &word, WORD_WEIGHT);
            let mut framed = Vec::with_capacity(word.len() + 2);
            framed.push('^');
            framed.extend(&word);
            framed.push('$');
            for length in GRAMS {
                for gram in framed.windows(length) {
                    count(b'g', gram, GRAM_WEIGHT);
                }
            }
        }

        let mut vector = vec![0.0_f32; self.dimensions];
        for (hash, (weight, count)) in counts {
            let slot = usize::try_from(hash % self.dimensions as u64).unwrap_or(0);
            // Uses the top bit, which is nearly independent of the slot, so that collisions cancel
            // out on average.
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            if let Some(value) = vector.get_mut(slot) {
                *value += sign * weight * sublinear(count);
            }
        }
        normalise(vector)
    }
}

/// `1 + ln(n)`, rounded to a thousandth because the last bit of `ln` may differ between platforms.
fn sublinear(count: f32) -> f32 {
    ((1.0 + count.ln()) * 1000.0).round() / 1000.0
}

/// The words of a text in lower case: runs of letters and digits, split in `camelCase` and `snake_case`, so
/// that `total_revenue`, `totalRevenue` and `total revenue` are equal. Letters and digits are not separated
/// (`q3`, `sha256`). The final `s` of a plural is dropped.
fn words(text: &str) -> Vec<Vec<char>> {
    let mut words = Vec::new();
    let mut word: Vec<char> = Vec::new();
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_alphanumeric() {
            let next_is_lower = rest.peek().is_some_and(|next| next.is_lowercase());
            // "totalRevenue" is split before R, "HTTPServer" before S.
            let hump =
                c.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_lower));
            if hump {
                finish(&mut words, &mut word);
            }
            word.extend(c.to_lowercase());
        } else {
            finish(&mut words, &mut word);
        }
        before = c;
    }
    finish(&mut words, &mut word);
    words
}

fn finish(words: &mut Vec<Vec<char>>, word: &mut Vec<char>) {
    let plural = word.len() > 3 && word.last() == Some(&'s') && word.get(word.len() - 2) != Some(&'s');
    if plural {
        word.pop();
    }
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; constants of draft-eastlake-fnv), over the kind and the
/// UTF-8 of the feature, then the finaliser of `MurmurHash3`, because FNV's high bits are weak
/// for short keys and both the slot and the sign are taken from one hash.
fn hash(kind: u8, feature: &[char]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let mut hash = step(OFFSET, kind);
    let mut utf8 = [0; 4];
    for c in feature {
        hash = c.encode_utf8(&mut utf8).bytes().fold(hash, step);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(left: &str, right: &str) -> f32 {
        let hashing = Hashing::new(384);
        hashing.embed(left).iter().zip(hashing.embed(right)).map(|(left, right)| left * right).sum()
    }

    fn text_of(words: Vec<Vec<char>>) -> Vec<String> {
        words.into_iter().map(|word| word.into_iter().collect()).collect()
    }

    #[test]
    fn names_are_cut_into_words() {
        assert_eq!(text_of(words("totalRevenue")), ["total", "revenue"]);
        assert_eq!(text_of(words("total_revenue")), ["total", "revenue"]);
        assert_eq!(text_of(words("HTTPServer q3")), ["http", "server", "q3"]);
        assert_eq!(text_of(words("Größe Straße ORDERS")), ["größe", "straße", "order"]);
        assert_eq!(text_of(words("  -- !! ")), Vec::<String>::new());
    }

    #[test]
    fn a_column_name_meets_its_words() {
        assert!(similarity("total_revenue", "total revenue") > 0.999);
        assert!(similarity("totalRevenue", "Total  Revenue!") > 0.999);
    }

    #[test]
    fn what_speaks_of_the_same_is_nearer() {
        let question = "total revenue by month";
        let near = similarity(question, "table transactions: amount, month; revenue is the total of amount");
        let far = similarity(question, "table employees: name, birthday, office, phone number");
        assert!(near > far + 0.2, "{near} {far}");
    }

    #[test]
    fn vectors_have_length_one_and_the_wanted_dimension() {
        for dimensions in [1, 16, 384, 1000] {
            let vector = Hashing::new(dimensions).embed("Accounts receivable, aged by 30 days");
            assert_eq!(vector.len(), dimensions);
            let length: f32 = vector.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5, "{length}");
        }
        assert!(Hashing::new(8).embed("").iter().all(|value| *value == 0.0));
    }

    #[test]
    fn a_frequent_word_counts_less_than_its_number() {
        assert!((sublinear(1.0) - 1.0).abs() < f32::EPSILON);
        assert!((sublinear(10.0) - 3.303).abs() < f32::EPSILON);
    }

    #[test]
    fn the_hash_is_fnv_1a_with_murmur3s_finaliser() {
        // FNV-1a of "a" is af63dc4c8601ec8c (the authors' test vectors); here the kind is that byte.
        let fnv = 0xaf63_dc4c_8601_ec8c_u64;
        let mut mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        assert_eq!(hash(b'a', &[]), mixed ^ (mixed >> 33));
    }

    #[test]
    fn golden_vector_for_ever() {
        let vector = Hashing::new(16).embed("Total revenue by month: SUM(total_revenue), größer");
        let rounded: Vec<String> = vector.iter().map(|value| format!("{value:.6}")).collect();
        let golden = "0.065604 0.065604 0.176671 -0.262500 0.222135 -0.187440 -0.287738 0.111067 \
                      -0.651849 -0.186127 -0.065604 0.298507 -0.065604 0.000000 0.267598 0.287738";
        assert_eq!(rounded.join(" "), golden);
    }
}
