//! What comes back, however it comes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notifier::outbound::{Outbound, SystemLookup};

use super::server::{LIMITS, Say, Server, answer, client, post};

fn outbound() -> Outbound {
    client(&["127.0.0.0/8"], Arc::new(SystemLookup))
}

#[tokio::test]
async fn of_an_endless_answer_64_kib_are_read() {
    let server = Server::start(Say::Endless).await;
    let answer = post(&outbound(), &server.url()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.len(), 64 * 1024);
    assert!(!answer.whole);
}

#[tokio::test]
async fn an_answer_that_trickles_ends_in_time_and_its_status_counts() {
    let server = Server::start(Say::Trickle).await;
    let begun = Instant::now();
    let answer = post(&outbound(), &server.url()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(!answer.whole);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(begun.elapsed() < LIMITS.whole * 3);
}

#[tokio::test]
async fn silence_ends_in_time_and_the_message_may_have_arrived() {
    let server = Server::start(Say::Nothing).await;
    let error = post(&outbound(), &server.url()).await.unwrap_err();
    assert_eq!(error.code(), "timed_out");
    assert!(!error.nothing_was_sent());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_may_have_taken_the_message_along() {
    let server = Server::start(Say::HangUp).await;
    let error = post(&outbound(), &server.url()).await.unwrap_err();
    assert_eq!(error.code(), "connection_broken");
    assert!(!error.nothing_was_sent());
    assert_eq!(server.seen().len(), 1, "it is not sent again by itself");
}

#[tokio::test]
async fn an_answer_with_more_headers_than_anybody_needs_is_none() {
    let many: String = (0..200).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let server = Server::start(answer("200 OK", &many, "")).await;
    let error = post(&outbound(), &server.url()).await.unwrap_err();
    assert_eq!(error.code(), "connection_broken");
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_back() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
    for (header, wait) in [
        ("retry-after: 7\r\n".to_owned(), Some(7)),
        (format!("retry-after: {date}\r\n"), Some(90)),
        (
            "retry-after: Tue, 14 Nov 2000 22:13:20 GMT\r\n".to_owned(),
            Some(0),
        ),
        ("retry-after: soon\r\n".to_owned(), None),
        ("retry-after: -1\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let server = Server::start(answer("503 Busy", &header, "")).await;
        let answer = post(&outbound(), &server.url()).await.unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.retry_after(now),
            wait.map(Duration::from_secs),
            "{header}"
        );
    }
}
