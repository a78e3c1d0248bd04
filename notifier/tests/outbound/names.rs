//! Where a name leads, and where it does not.

use std::sync::Arc;

use notifier::outbound::{BadTarget, NotPublic, OutboundError, SystemLookup, TargetError};

use super::server::{Server, Turning, answer, client, ok, post};

fn not_public(answered: Result<notifier::outbound::Answer, OutboundError>) -> NotPublic {
    match answered {
        Err(OutboundError::Target(TargetError::Address(not))) => not,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_reaches_a_server_in_an_allowed_network() {
    let server = Server::start(ok("thanks")).await;
    let outbound = client(&["127.0.0.0/8"], Arc::new(SystemLookup));
    let answer = post(&outbound, &server.url()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "thanks");
    assert!(answer.whole);
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /hook HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[0].contains("webhook-id: msg_1\r\n"), "{seen:?}");
}

#[tokio::test]
async fn loopback_is_refused_in_every_spelling_and_by_every_name() {
    let server = Server::start(ok("")).await;
    let port = server.address.port();
    let outbound = client(&[], Arc::new(SystemLookup));
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/hook");
            let refused = not_public(post(&outbound, &url).await);
            assert!(
                ["loopback", "unspecified", "an IPv4 address in IPv6 form"].contains(&refused.what),
                "{url}: {refused}"
            );
        }
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_that_leads_into_a_private_network_is_refused() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "fd00:ec2::254",
        "::1",
    ] {
        let lookup = Turning::new(&[&[address]]);
        let outbound = client(&[], Arc::clone(&lookup) as _);
        let refused = not_public(post(&outbound, "https://lumen.example/hook").await);
        assert_eq!(
            refused.address,
            address.parse::<std::net::IpAddr>().unwrap()
        );
        assert_eq!(*lookup.asked.lock().unwrap(), ["lumen.example"]);
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    // Two servers on one port: one may be called, the other one may not.
    let forbidden = Server::start(ok("forbidden")).await;
    let port = forbidden.address.port();
    let allowed =
        Server::start_at(format!("127.0.0.2:{port}").parse().unwrap(), ok("allowed")).await;
    let lookup = Turning::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let outbound = client(&["127.0.0.2/32"], Arc::clone(&lookup) as _);
    let url = format!("http://lumen.example:{port}/hook");
    // What was judged is what is connected to: there is no second look at the name in between.
    let answer = post(&outbound, &url).await.unwrap();
    assert_eq!(answer.body, "allowed");
    assert_eq!(lookup.asked.lock().unwrap().len(), 1);
    // The next connection asks again, and what it hears now is judged again.
    assert_eq!(not_public(post(&outbound, &url).await).what, "loopback");
    assert_eq!(allowed.seen().len(), 1);
    assert_eq!(forbidden.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_called_are() {
    let forbidden = Server::start(ok("forbidden")).await;
    let port = forbidden.address.port();
    let _allowed =
        Server::start_at(format!("127.0.0.3:{port}").parse().unwrap(), ok("allowed")).await;
    let lookup = Turning::new(&[&["127.0.0.1", "::1", "127.0.0.3", "10.0.0.1"]]);
    let outbound = client(&["127.0.0.3/32"], lookup);
    let answer = post(&outbound, &format!("http://lumen.example:{port}/hook")).await;
    assert_eq!(answer.unwrap().body, "allowed");
    assert_eq!(forbidden.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inside = Server::start(ok("secrets")).await;
    let location = format!("location: {}\r\n", inside.url());
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Moved",
    ] {
        let server = Server::start(answer(status, &location, "")).await;
        let outbound = client(&["127.0.0.0/8"], Arc::new(SystemLookup));
        let answer = post(&outbound, &server.url()).await.unwrap();
        assert!(answer.status.is_redirection(), "{status}");
    }
    assert_eq!(inside.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn plain_http_and_ports_of_other_services_stay_in_the_allowed_networks() {
    // A public address: nothing is sent there, so it need not be reached.
    let outbound = client(&["127.0.0.0/8"], Turning::new(&[&["8.8.8.8"]]));
    for (url, why) in [
        ("http://lumen.example/hook", BadTarget::Plain),
        ("http://lumen.example:8443/hook", BadTarget::Plain),
        ("https://lumen.example:22/hook", BadTarget::Port(22)),
        ("https://lumen.example:6667/hook", BadTarget::Port(6667)),
    ] {
        match post(&outbound, url).await {
            Err(OutboundError::Target(TargetError::Form(bad))) => assert_eq!(bad, why, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn nothing_can_be_read_of_a_message_to_an_https_address() {
    let server = Server::start(ok("")).await;
    let outbound = client(&["127.0.0.0/8"], Arc::new(SystemLookup));
    let url = format!("https://{}/hook", server.address);
    let error = post(&outbound, &url).await.unwrap_err();
    assert!(matches!(error, OutboundError::Connect(_)), "{error:?}");
    assert!(error.nothing_was_sent());
    assert!(!server.seen()[0].contains("POST"));
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    // The program itself reads the environment when a client is made; a child is the only one with other variables.
    let proxy = Server::start(ok("proxied")).await;
    let server = Server::start(ok("direct")).await;
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "names::what_the_child_of_the_proxy_test_does",
            "--nocapture",
        ])
        .env("HTTP_PROXY", proxy.url())
        .env("http_proxy", proxy.url())
        .env("ALL_PROXY", proxy.url())
        .env("all_proxy", proxy.url())
        .env("OUTBOUND_TEST_URL", server.url())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}");
    assert_eq!(server.seen().len(), 1);
    assert_eq!(proxy.seen(), Vec::<String>::new());
}

/// Does nothing unless it is that child.
#[tokio::test]
async fn what_the_child_of_the_proxy_test_does() {
    let Ok(url) = std::env::var("OUTBOUND_TEST_URL") else {
        return;
    };
    let outbound = client(&["127.0.0.0/8"], Arc::new(SystemLookup));
    assert_eq!(post(&outbound, &url).await.unwrap().body, "direct");
}

#[tokio::test]
async fn a_name_that_nobody_knows_and_a_port_where_nobody_listens_send_nothing() {
    let unknown = client(&[], Turning::new(&[]));
    let error = post(&unknown, "https://nobody.example/").await.unwrap_err();
    assert!(
        error.nothing_was_sent() && error.code() == "not_connected",
        "{error:?}"
    );
    let closed = Server::start(ok("")).await.address;
    let free = tokio::net::TcpListener::bind("127.0.0.4:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    assert_ne!(closed, address);
    let outbound = client(&["127.0.0.0/8"], Arc::new(SystemLookup));
    let error = post(&outbound, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(
        error.nothing_was_sent() && error.code() == "not_connected",
        "{error:?}"
    );
    // What is told of an error does not tell the address, which may hold a secret of its owner.
    let url = format!("http://{address}/hook?token=s3cret");
    let shown = format!("{:?}", post(&outbound, &url).await.unwrap_err());
    assert!(!shown.contains("s3cret"), "{shown}");
}
