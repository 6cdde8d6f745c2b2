//! Servers that are down, old, broken, closed or something else: what is said, and what never is.

use super::answers::{Answer, message_of, serve};
use super::worlds::{chroma_vector, here};
use crate::stack::{Secret, VectorAuth};
use crate::vector::{Client, observe};

#[tokio::test]
async fn c09_nobody_there_is_said_with_host_and_port_and_no_password() {
    let url = "http://me:hunter2hunter2@127.0.0.1:9";
    let client = Client::new(&chroma_vector(url)).unwrap();

    let message = message_of(url).await;

    assert!(message.starts_with("cannot reach Chroma at 127.0.0.1:9: "), "{message}");
    assert!(!format!("{message} {client:?}").contains("hunter2"), "{message} {client:?}");
}

#[tokio::test]
async fn a_chroma_of_the_first_api_is_recognised_and_refused() {
    let (url, _) =
        serve(|line, _| Answer::plain(if line.contains("/api/v1/heartbeat") { 200 } else { 404 }, "{}"))
            .await;

    let message = message_of(&url).await;

    assert!(message.contains("version 0.6 or later is needed"), "{message}");
}

#[tokio::test]
async fn what_is_not_chroma_is_said() {
    let (page, _) = serve(|_, _| Answer::plain(200, "<html>")).await;
    let (nothing, _) = serve(|_, _| Answer::plain(404, "not here")).await;

    assert!(message_of(&page).await.contains("is not Chroma: an answer that is not understood"));
    assert!(message_of(&nothing).await.contains("is not Chroma: no /api/v2/heartbeat there (not here)"));
}

#[tokio::test]
async fn a_failing_server_is_asked_again_and_a_refusing_one_is_not() {
    let (failing, asked) = serve(|_, number| Answer::plain(if number < 2 { 503 } else { 401 }, "")).await;

    let message = message_of(&failing).await;

    assert!(message.contains("refuses the credential (HTTP 401)"), "{message}");
    assert_eq!(asked.requests(), 3);
}

#[tokio::test]
async fn a_token_is_sent_in_the_header_of_auth_and_shown_nowhere() {
    let token = "user:open-sesame-1234";
    for (auth, header, other) in [
        (None, "authorization: bearer user:open-sesame-1234", "x-chroma-token"),
        (Some(VectorAuth::Bearer), "authorization: bearer user:open-sesame-1234", "x-chroma-token"),
        (Some(VectorAuth::Token), "x-chroma-token: user:open-sesame-1234", "authorization"),
        (Some(VectorAuth::Basic), "authorization: basic dxnlcjpvcgvulxnlc2ftzs0xmjm0", "x-chroma-token"),
    ] {
        let (url, asked) = serve(|_, _| Answer::plain(500, "{\"error\":\"broken\"}")).await;
        let mut vector = chroma_vector(&url);
        (vector.token, vector.auth) = (Some(Secret::new("${TOKEN}", Ok(token.into()), here())), auth);
        let client = Client::new(&vector).unwrap();

        let seen = observe(&client).await;

        let request = asked.first().to_lowercase();
        assert!(request.contains(header) && !request.contains(other), "{request}");
        assert!(!format!("{seen:?} {client:?} {vector:?}").contains(token));
    }
}
