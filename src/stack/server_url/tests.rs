use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> RedactedUrl {
    RedactedUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_text_with_two_readings_is_refused() {
    for text in [
        "postgres://app:2024/Winter@Base1@127.0.0.1:59999/shop",
        "postgres://app:12#x@h/db",
        "postgres://u:p@ss/word@h/db",
        "postgres://u:a/b@h/db?application_name=a@b",
    ] {
        assert_eq!(RedactedUrl::parse(text), Err(UrlError::Doubtful), "{text}");
    }
}

#[test]
fn a_text_with_one_reading_is_taken_apart() {
    for (text, user, password, address) in [
        ("postgres://app:s3cr@t@db:5432/x", Some("app"), Some("s3cr@t"), "db:5432"),
        ("postgres://app:kF2x+/Base@h/db", Some("app"), Some("kF2x+/Base"), "h"),
        ("redis://:1?a@h/0", None, Some("1?a"), "h"),
        ("redis://:pw#x@h:6379/0", None, Some("pw#x"), "h:6379"),
        ("postgres://app:a%2Fb%zz@h/db", Some("app"), Some("a/b%zz"), "h"),
        ("postgres://app:50%FF@h/db", Some("app"), Some("50%FF"), "h"),
        ("postgres://u:p@[::1]:5432/db", Some("u"), Some("p"), "[::1]:5432"),
        ("postgres://u@[::ffff:127.0.0.1]/db", Some("u"), None, "[::ffff:127.0.0.1]"),
        ("postgres:///db?host=::1&user=u&password=a@b", Some("u"), Some("a@b"), "[::1]"),
        ("postgres:///db?host=/var/run/postgresql&port=5433", None, None, "/var/run/postgresql:5433"),
        ("http://h:8000/base", None, None, "h:8000"),
    ] {
        let Ok(url) = RedactedUrl::parse(text) else {
            // An `@` behind the host is in doubt, also in a parameter.
            assert!(text.contains("a@b"), "{text}");
            continue;
        };
        assert_eq!(url.user().as_deref(), user, "{text}");
        assert_eq!(url.password().as_deref(), password, "{text}");
        assert_eq!(url.address(), address, "{text}");
    }
}

#[test]
fn parameters_that_nothing_reads_are_refused_without_their_values() {
    for text in [
        "postgres://u:p@h/d?sslpassword=Zebra-42",
        "postgres://u:p@h/d?Zebra-42=1",
        "postgres://u:p@h/d?sslmode=Zebra-42",
        "postgres://u:p@h/d?port=Zebra-42",
        "postgres://u:p@h/d?hostaddr=Zebra-42",
        "postgres://u:p@h/d?statement-cache-capacity=Zebra-42",
        "redis://h/0?protocol=Zebra-42",
        "redis://h/0?password=Zebra-42",
        "http://h:8000?token=Zebra-42",
        "http://h:8000#Zebra-42",
        "postgres://Zebra-42",
        "postgres://u:p@h:Zebra-42/d",
    ] {
        let Err(error) = RedactedUrl::parse(text) else {
            assert_eq!(text, "postgres://Zebra-42", "a host and nothing else");
            continue;
        };
        let said = format!("{error} {}", error.help().unwrap_or_default());
        assert!(!said.contains("Zebra"), "{said}");
    }
    let error = RedactedUrl::parse("postgres://h/d?connect_timeout=10").unwrap_err();
    assert!(error.to_string().contains("`connect_timeout`"));
    assert!(error.help().unwrap().contains("sslmode"));
}

#[test]
fn parts_need_no_encoding() {
    let parts = Parts {
        scheme: "postgres",
        host: "::1".to_owned(),
        port: Some(5432),
        user: Some("a@b".to_owned()),
        password: Some("100%41/?#[ ]@:".to_owned()),
        path: Some("my/db".to_owned()),
        parameters: vec![("sslmode", "verify-full".to_owned()), ("sslrootcert", "a b&c.pem".to_owned())],
        ..Parts::default()
    };
    let url = RedactedUrl::from_parts(parts).unwrap();
    assert_eq!(url.user().as_deref(), Some("a@b"));
    assert_eq!(url.password().as_deref(), Some("100%41/?#[ ]@:"));
    assert_eq!(url.address(), "[::1]:5432");
    assert_eq!(decode(url.expose().path()), "/my/db");
    let root = url.expose().query_pairs().find(|(name, _)| name == "sslrootcert").unwrap().1.into_owned();
    assert_eq!(root, "a b&c.pem");
    assert!(!url.to_string().contains("41"), "{url}");
}

/// Passwords of whatever could mislead a parser.
fn password() -> impl Strategy<Value = String> {
    prop_oneof![
        r"[ -~]{1,24}",
        r"[/?#@:\[\]%&=\\ ,;'0-9a-f\t\n]{1,24}",
        any::<String>().prop_filter("empty", |text| !text.is_empty())
    ]
}

proptest! {
    #[test]
    fn every_password_comes_back_from_the_parts(password in password()) {
        for (scheme, path) in [("postgres", "d"), ("redis", "0"), ("rediss", "0"), ("http", ""), ("https", "")] {
            let parts = Parts {
                scheme,
                host: "h".to_owned(),
                user: Some("u".to_owned()),
                password: Some(password.clone()),
                path: Some(path.to_owned()),
                ..Parts::default()
            };
            let url = RedactedUrl::from_parts(parts).unwrap();
            prop_assert_eq!(url.password(), Some(password.clone()));
            prop_assert_eq!(url.host(), "h");
        }
    }

    #[test]
    fn an_encoded_password_is_taken_as_it_is(password in password()) {
        for scheme in ["postgres", "redis", "http"] {
            let url = parsed(&format!("{scheme}://u:{}@h:1/0", encode_unencoded(&encode(&password))));
            prop_assert_eq!(url.password(), Some(password.clone()));
        }
    }

    #[test]
    fn a_password_as_it_is_comes_back_or_is_refused(password in r"[!-~]{1,16}") {
        // Valid escapes are read as such, by contract.
        prop_assume!(!password.contains('%'));
        for scheme in ["postgres", "redis", "http"] {
            match RedactedUrl::parse(&format!("{scheme}://u:{password}@h:1/0")) {
                Ok(url) => {
                    prop_assert_eq!(url.password(), Some(password.clone()));
                    prop_assert_eq!(url.address(), "h:1");
                }
                Err(error) => prop_assert_eq!(error, UrlError::Doubtful),
            }
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        drop(RedactedUrl::parse(&text));
        drop(RedactedUrl::parse(&format!("postgres://{text}")));
    }
}
