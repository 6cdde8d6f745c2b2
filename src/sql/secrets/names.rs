//! Whether a name says that what it names is a secret: by its last word, in whatever way the words are
//! written together.

/// Words that name a secret.
const SECRETS: [&str; 18] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "hash",
    "apikey",
    "credential",
    "otp",
    "salt",
    "pin",
    "cvv",
    "cvc",
    "mnemonic",
];
/// What other words end in, where a secret is written together with what it is for.
const ENDINGS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "privatekey",
];
/// What says how a secret is kept, behind its name.
const FORMS: [&str; 15] = [
    "value",
    "plain",
    "plaintext",
    "encrypted",
    "enc",
    "cipher",
    "ciphertext",
    "raw",
    "text",
    "data",
    "hashed",
    "old",
    "new",
    "default",
    "command",
];
/// What has a seed that is a secret.
const SEEDED: [&str; 4] = ["otp", "totp", "mfa", "wallet"];
/// Keys that lock nothing.
const HARMLESS_KEYS: [&str; 13] = [
    "primary",
    "foreign",
    "unique",
    "sort",
    "partition",
    "natural",
    "surrogate",
    "candidate",
    "cache",
    "row",
    "lookup",
    "business",
    "translation",
];

/// Whether a column, setting or the like of this name holds a secret.
pub fn says_secret(name: &str) -> bool {
    let last = name.rsplit(['.', ':', '/']).next().unwrap_or(name);
    let words = words(last);
    let mut words: &[String] = &words;
    while let [before @ .., word] = words
        && !before.is_empty()
        && FORMS.contains(&word.as_str())
    {
        words = before;
    }
    // `access_key_id`, but not `account_id`.
    if let [before @ .., id] = words
        && id == "id"
        && before.last().is_some_and(|word| word == "key")
    {
        words = before;
    }
    let Some((word, before)) = words.split_last() else { return false };
    // `otp_seed`, but not `random_seed`.
    if word == "seed" {
        return before.last().is_some_and(|word| SEEDED.contains(&word.as_str()));
    }
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let singular = word.strip_suffix('s').unwrap_or(word);
    if [word, singular].contains(&"key") {
        return before.last().is_some_and(|kind| !HARMLESS_KEYS.contains(&kind.as_str()));
    }
    [word, singular]
        .iter()
        .any(|word| SECRETS.contains(word) || ENDINGS.iter().any(|ending| word.ends_with(ending)))
}

/// Whether a text is the name of a setting that holds a secret, and no sentence about one.
pub(super) fn is_name_of_secret(text: &str) -> bool {
    const LONGEST: usize = 80;
    let text = text.trim_matches(|c: char| "\"'{}[]".contains(c));
    let text = text.rsplit(',').next().unwrap_or(text);
    let is_part = |c: char| c.is_alphanumeric() || "_-.:/".contains(c);
    text.len() <= LONGEST && text.chars().all(is_part) && says_secret(text)
}

/// Whether a function of this name is given secrets.
pub(super) fn takes_secrets(name: &str) -> bool {
    const FUNCTIONS: [&str; 16] = [
        "crypt",
        "hmac",
        "digest",
        "encrypt",
        "encrypt_iv",
        "decrypt",
        "decrypt_iv",
        "pgp_sym_encrypt",
        "pgp_sym_encrypt_bytea",
        "pgp_sym_decrypt",
        "pgp_sym_decrypt_bytea",
        "pgp_pub_encrypt",
        "pgp_pub_decrypt",
        "pgp_pub_decrypt_bytea",
        "aes_encrypt",
        "aes_decrypt",
    ];
    const ENDINGS: [&str; 4] = ["password", "passwd", "passphrase", "secret"];
    let name = name.to_lowercase();
    FUNCTIONS.contains(&name.as_str()) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a function of this name is given names, each before its value.
pub(super) fn takes_pairs(name: &str) -> bool {
    const FUNCTIONS: [&str; 10] = [
        "set_config",
        "json_build_object",
        "jsonb_build_object",
        "json_object",
        "jsonb_object",
        "jsonb_set",
        "jsonb_insert",
        "json_set",
        "json_insert",
        "hstore",
    ];
    FUNCTIONS.contains(&name.to_lowercase().as_str())
}

/// The words of a name in lower case: `snake_case`, `kebab-case` and `camelCase`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        let begins = c.is_uppercase() && was_lower;
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_says_what_it_holds() {
        for name in [
            "password",
            "smtp_password",
            "passwordHash",
            "API_KEY",
            "apiKey",
            "access_tokens",
            "app.jwt_secret",
            "private-key",
            "secret_value",
            "password2",
            "smtppassword",
            "encryption_key",
            "users/token",
        ] {
            assert!(says_secret(name), "{name}");
        }
        for name in [
            "key",
            "primary_key",
            "key_id",
            "token_type",
            "password_reset_at",
            "password_encryption",
            "hashes_at",
            "name",
            "",
            "monkey",
            "bypass",
            "tokenizer",
        ] {
            assert!(!says_secret(name), "{name}");
        }
    }
}
