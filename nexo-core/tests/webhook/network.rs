//! Where calls go, and where they never go. A canary listens on loopback; nothing here names
//! an address outside of it that would be dialled.

use std::{process::Command, sync::Arc, time::Duration};

use nexo_core::{
    FailureKind,
    dispatch::webhook::{AllowRule, Guard, Loopback, WebhookDispatcher},
};

use crate::{
    agent::TestAgent,
    fixture::{ScriptedResolver, dispatcher, outcome, turn, turn_within},
};

async fn canary() -> TestAgent {
    TestAgent::answering("application/json", r#"{"reply":"caught"}"#).await
}

/// With the default rules, under which loopback is refused.
fn strict(resolver: ScriptedResolver) -> WebhookDispatcher {
    WebhookDispatcher::new(Guard::new()).with_resolver(resolver)
}

/// Ways to write, or to lead to, the machine itself; `PORT` stands for the canary's.
const SPELLINGS: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.000.000.001:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0X7F000001:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://127.0.0x0.1:PORT/",
    "http://0177.0x0.0.01:PORT/",
    "http://0x7f.0x0.0x0.0x1:PORT/",
    "http://127.0.0.2:PORT/",
    "http://127.255.255.254:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0x0:PORT/",
    "http://00000000000:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "http://[::]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::FFFF:7F00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:7f00:1::]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[fc00::1]:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://LocalHost.:PORT/",
    "http://localhost..:PORT/",
    "http://a.localhost:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://a.local:PORT/",
    "http://a.internal:PORT/",
    "http://a.home.arpa:PORT/",
    "http://name-that-leads-inside.example:PORT/",
    "http://127.0.0.1.nip.example:PORT/",
    "http://dotless:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127．0．0．1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/",
    "http://loc%61lhost:PORT/",
    "http://lo\u{ad}calhost:PORT/",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http:////127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "http://127.0.0.1:PORT\\@example.com/",
    "http://127.0.0.1:PORT#@example.com/",
    "http://127.0.0.1:PORT?@example.com/",
    "http://example.com@127.0.0.1:PORT/",
    "http://example.com:80@127.0.0.1:PORT/",
    "http://@127.0.0.1:PORT/",
    "http://example.com%00@127.0.0.1:PORT/",
    "http://127.0.0.1%00.example.com:PORT/",
    "http://127.0.0.1%20:PORT/",
    "http://127.0.0.1\t:PORT/",
    "ht\ntp://127.0.0.1:PORT/",
    "\thttp://127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/\r\nHost: example.com",
    "HTTP://127.0.0.1:PORT/",
    "hTtPs://127.0.0.1:PORT/",
    "https://localhost:PORT/",
    "ws://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
];

#[tokio::test]
async fn no_way_of_writing_the_machine_itself_reaches_it() {
    let canary = canary().await;
    let dispatcher = strict(ScriptedResolver::new(&[("*", &[&["127.0.0.1"]])]));
    assert!(SPELLINGS.len() >= 60);

    for spelling in SPELLINGS {
        let url = spelling.replace("PORT", &canary.address.port().to_string());
        let outcome = outcome(&dispatcher, turn_within(&url, 2_000)).await;

        let kind = outcome.kind().unwrap_or_else(|| panic!("{spelling} was called"));
        assert!(
            matches!(
                kind,
                FailureKind::WebhookUrlBlocked
                    | FailureKind::WebhookUrlBadScheme
                    | FailureKind::WebhookUrlNoHost
            ),
            "{spelling}: {kind:?}"
        );
        assert!(outcome.delivery.is_none(), "{spelling}");
    }
    assert_eq!(canary.connections(), 0);
}

/// The canary would be reached if the rules were looser: else the test above proves nothing.
#[tokio::test]
async fn the_same_spellings_reach_the_machine_where_it_is_allowed() {
    let canary = canary().await;
    let rules = ["0.0.0.0/8", "127.0.0.0/8", "::1"].map(|rule| rule.parse().unwrap());
    let dispatcher = WebhookDispatcher::new(Guard::new().with_allowed(rules))
        .with_resolver(ScriptedResolver::new(&[("*", &[&["127.0.0.1"]])]));

    for spelling in &SPELLINGS[..16] {
        let url = spelling.replace("PORT", &canary.address.port().to_string());
        let outcome = outcome(&dispatcher, turn(&url)).await;
        assert!(outcome.failure.is_none() || spelling.contains("127.0.0.2"), "{spelling}");
    }
    assert!(canary.connections() >= 15);
}

#[tokio::test]
async fn localhost_is_called_where_loopback_is_allowed() {
    let canary = canary().await;
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}/", canary.address.port());

        let outcome = outcome(&dispatcher(), turn(&url)).await;

        assert_eq!(outcome.text(), "caught", "{:?}", outcome.failure);
        assert_eq!(outcome.delivery().peer, Some(canary.address));
    }
}

#[tokio::test]
async fn a_server_does_not_call_itself() {
    let canary = canary().await;
    let guard = Guard::new().with_loopback(Loopback::Allowed).with_own_addresses([canary.address]);
    let dispatcher = WebhookDispatcher::new(guard);

    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let url = format!("http://{host}:{}/", canary.address.port());
        let outcome = outcome(&dispatcher, turn(&url)).await;
        assert_eq!(outcome.kind(), Some(FailureKind::WebhookUrlBlocked), "{host}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_name_that_moves_inside_is_refused_when_it_has_moved() {
    let canary = canary().await;
    let url = format!("http://rebind.example:{}/", canary.address.port());
    // The first answer is allowed by the operator and leads nowhere, so that no packet leaves.
    let rules = ["127.66.0.0/16".parse::<AllowRule>().unwrap()];
    let dispatcher = WebhookDispatcher::new(Guard::new().with_allowed(rules)).with_resolver(
        ScriptedResolver::new(&[("rebind.example", &[&["127.66.0.1"], &["127.0.0.1"]])]),
    );

    let first = outcome(&dispatcher, turn_within(&url, 1_000)).await;
    assert_eq!(first.kind(), Some(FailureKind::WebhookRequestFailed));

    for _ in 0..1_000 {
        let outcome = outcome(&dispatcher, turn(&url)).await;
        assert_eq!(outcome.kind(), Some(FailureKind::WebhookUrlBlocked));
        assert!(outcome.delivery.is_none());
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn one_inner_address_among_the_answers_is_enough_to_refuse() {
    let canary = canary().await;
    for answers in [
        &["8.8.8.8", "127.0.0.1"][..],
        &["127.0.0.1", "8.8.8.8"],
        &["8.8.8.8", "::1"],
        &["2606:4700::1111", "::ffff:127.0.0.1"],
        &["8.8.8.8", "169.254.169.254"],
    ] {
        let dispatcher = strict(ScriptedResolver::new(&[("mixed.example", &[answers])]));
        let url = format!("http://mixed.example:{}/", canary.address.port());

        let outcome = outcome(&dispatcher, turn(&url)).await;

        assert_eq!(outcome.kind(), Some(FailureKind::WebhookUrlBlocked), "{answers:?}");
        let detail = outcome.failure.unwrap().detail;
        assert!(detail.starts_with("blocked: mixed.example leads to "), "{detail}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_bad_answer_after_a_thousand_good_ones_is_seen() {
    let mut answers: Vec<String> =
        (0..1_000).map(|n| format!("8.8.{}.{}", n / 250, n % 250)).collect();
    answers.push("127.0.0.1".to_owned());
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let dispatcher = strict(ScriptedResolver::new(&[("many.example", &[&answers])]));

    let outcome = outcome(&dispatcher, turn("http://many.example/")).await;

    assert_eq!(outcome.kind(), Some(FailureKind::WebhookUrlBlocked));
}

#[tokio::test]
async fn a_host_that_the_operator_allows_is_called_wherever_it_leads() {
    let canary = canary().await;
    let rules = ["agent.internal".parse::<AllowRule>().unwrap()];
    let dispatcher = WebhookDispatcher::new(Guard::new().with_allowed(rules))
        .with_resolver(ScriptedResolver::new(&[("agent.internal", &[&["127.0.0.1"]])]));

    let url = format!("http://Agent.Internal:{}/", canary.address.port());
    let outcome = outcome(&dispatcher, turn(&url)).await;

    assert_eq!(outcome.text(), "caught");
    assert_eq!(
        canary.received()[0].header("host"),
        Some(format!("agent.internal:{}", canary.address.port()).as_str())
    );
}

#[tokio::test]
async fn calls_at_once_are_each_vetted_for_themselves() {
    let canary = canary().await;
    let port = canary.address.port();
    let rules = ["good.internal".parse::<AllowRule>().unwrap()];
    let dispatcher = Arc::new(
        WebhookDispatcher::new(Guard::new().with_allowed(rules))
            .with_resolver(ScriptedResolver::new(&[("*", &[&["127.0.0.1"]])])),
    );

    let calls = (0..40).map(|n| {
        let dispatcher = Arc::clone(&dispatcher);
        tokio::spawn(async move {
            let host = if n % 2 == 0 { "good.internal" } else { "bad.example" };
            let outcome = outcome(&dispatcher, turn(&format!("http://{host}:{port}/"))).await;
            (n % 2 == 0, outcome.kind())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (is_good, kind) = call.await.unwrap();
        let expected = if is_good { None } else { Some(FailureKind::WebhookUrlBlocked) };
        assert_eq!(kind, expected);
    }
    assert_eq!(canary.connections(), 20);
}

const PROXY_PROBE: &str = "NEXO_TEST_PROXY_PROBE";

/// Runs itself once more in a process whose environment names a proxy.
#[tokio::test]
async fn proxies_in_the_environment_are_ignored() {
    if let Ok(url) = std::env::var(PROXY_PROBE) {
        assert_eq!(outcome(&dispatcher(), turn(&url)).await.text(), "caught");
        return;
    }
    let (agent, proxy) = (canary().await, canary().await);
    let proxy_url = format!("http://{}", proxy.address);
    let mut probe = Command::new(std::env::current_exe().unwrap());
    probe.args(["--exact", "network::proxies_in_the_environment_are_ignored"]);
    probe.env(PROXY_PROBE, agent.url());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        probe.env(name, &proxy_url);
    }
    probe.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");

    let output = tokio::time::timeout(
        Duration::from_secs(60),
        tokio::task::spawn_blocking(move || probe.output()),
    );

    let output = output.await.expect("the probe ends").unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((agent.connections(), proxy.connections()), (1, 0));
}
