//! Servers that send without end, list without end, are too busy, or hang up: what a look costs at most,
//! and what is said.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{Answer, message_of, serve};
use super::worlds::chroma_vector;
use crate::vector::{Client, Observed, observe};

#[tokio::test]
async fn f08_an_answer_without_end_is_given_up_at_its_limit() {
    let (url, counts) = serve(|_, _| Answer::Endless(200)).await;

    let message = message_of(&url).await;

    assert!(message.contains("is longer than 16 MB"), "{message}");
    assert!(counts.bytes.load(Ordering::SeqCst) < 64 << 20, "{} bytes", counts.bytes.load(Ordering::SeqCst));
    assert_eq!(counts.requests(), 1);
}

#[tokio::test]
async fn f08_an_error_without_end_is_read_as_far_as_it_is_shown() {
    let (url, counts) = serve(|_, _| Answer::Endless(500)).await;

    let message = message_of(&url).await;

    assert!(message.contains("answers HTTP 500: [0,0"), "{message}");
    assert!(counts.bytes.load(Ordering::SeqCst) < 64 << 20, "{} bytes", counts.bytes.load(Ordering::SeqCst));
}

/// A collection as Chroma lists it.
fn collection(number: usize) -> Value {
    json!({ "id": format!("id-{number}"), "name": format!("c{number}"), "metadata": null, "dimension": null })
}

/// What Chroma answers before it lists anything.
fn greeting(line: &str) -> Answer {
    if line.contains("/version ") { Answer::json(&json!("1.5.0")) } else { Answer::json(&json!({})) }
}

#[tokio::test]
async fn f08_a_listing_of_collections_that_repeats_itself_or_has_no_end_is_given_up() {
    let page = |from: usize| Answer::json(&(from..from + 1_000).map(collection).collect::<Value>());
    let (same, asked) =
        serve(move |line, _| if line.contains("?limit=") { page(0) } else { greeting(line) }).await;
    let (more, asked_more) = serve(move |line, _| match line.split_once("&offset=") {
        Some((_, offset)) => page(offset.split(' ').next().unwrap().parse().unwrap()),
        None => greeting(line),
    })
    .await;

    let messages = (message_of(&same).await, message_of(&more).await);

    assert!(messages.0.contains("gives the same collections again and again"), "{}", messages.0);
    assert!(messages.1.contains("has more than 10000 collections"), "{}", messages.1);
    assert!(
        (asked.requests(), asked_more.requests()) == (5, 14),
        "{} {}",
        asked.requests(),
        asked_more.requests()
    );
}

#[tokio::test]
async fn f08_a_listing_of_documents_that_repeats_itself_is_given_up() {
    let ids: Vec<String> = (0..1_000).map(|number| format!("d{number}")).collect();
    let documents = json!({ "ids": ids, "metadatas": null }).to_string();
    let (url, _) = serve(move |line, _| {
        if line.contains("?limit=") {
            Answer::json(&json!([collection(0)]))
        } else if line.contains("/get ") {
            Answer::Whole(200, "", documents.clone())
        } else {
            greeting(line)
        }
    })
    .await;

    let message = message_of(&url).await;

    assert!(message.contains("gives the same documents again and again"), "{message}");
}

#[tokio::test]
async fn a_page_of_documents_that_is_too_long_is_asked_for_in_smaller_ones() {
    let long = json!({ "ids": ["d0"], "metadatas": [{ "text": "x".repeat(17 << 20) }] }).to_string();
    let short = json!({ "ids": ["d0"], "metadatas": [{ "text": "x" }] }).to_string();
    let gets = AtomicUsize::new(0);
    let (url, _) = serve(move |line, _| {
        if line.contains("?limit=") {
            Answer::json(&json!([collection(0)]))
        } else if line.contains("/get ") {
            let is_first = gets.fetch_add(1, Ordering::SeqCst) == 0;
            Answer::Whole(200, "", if is_first { long.clone() } else { short.clone() })
        } else {
            greeting(line)
        }
    })
    .await;

    let seen = observe(&Client::new(&chroma_vector(&url)).unwrap()).await;

    let Observed::Reachable(seen) = seen else { panic!("{seen:?}") };
    assert_eq!(seen.collections["c0"].foreign.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_asked_again_when_it_wants_to_be() {
    let later = |number| match number {
        0 => Answer::Whole(429, "retry-after: 1\r\n", String::new()),
        1 => Answer::plain(503, ""),
        _ => Answer::plain(401, ""),
    };
    let (url, counts) = serve(move |_, number| later(number)).await;

    let message = message_of(&url).await;

    assert!(message.contains("HTTP 401"), "{message}");
    assert_eq!(counts.requests(), 3);
    assert!(counts.first_pause() >= Duration::from_secs(1), "{:?}", counts.first_pause());
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_for_an_hour_is() {
    let (url, counts) =
        serve(|_, _| Answer::Whole(429, "retry-after: 3600\r\n", "slow down".to_owned())).await;

    let message = message_of(&url).await;

    assert!(message.contains("HTTP 429: slow down (it asks to try again in 3600 s)"), "{message}");
    assert_eq!(counts.requests(), 1);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up() {
    let (url, counts) = serve(|_, _| Answer::plain(429, "")).await;

    let message = message_of(&url).await;

    assert!(message.contains("HTTP 429"), "{message}");
    assert_eq!(counts.requests(), 6);
}

#[tokio::test]
async fn a_connection_that_is_cut_at_the_start_is_opened_again() {
    let (url, counts) =
        serve(|_, number| if number < 2 { Answer::Nothing } else { Answer::plain(401, "") }).await;

    let message = message_of(&url).await;

    assert!(message.contains("HTTP 401"), "{message}");
    assert_eq!(counts.requests(), 3);
}

#[tokio::test]
async fn https_to_a_plain_server_is_said() {
    let (url, counts) = serve(|_, _| Answer::plain(400, "what?")).await;

    let message = message_of(&url.replace("http:", "https:")).await;

    assert!(message.contains("answers there does so without TLS; write `http://`"), "{message}");
    assert_eq!(counts.requests(), 1);
}
