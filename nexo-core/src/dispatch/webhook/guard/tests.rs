use super::*;

fn kind(guard: &Guard, url: &str) -> Option<FailureKind> {
    guard.check_url(url).err().map(|failure| failure.kind)
}

fn rules(texts: &[&str]) -> Vec<AllowRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn answers(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn each_way_of_being_no_address_has_its_kind() {
    let guard = Guard::new();
    for (url, expected) in [
        ("", FailureKind::WebhookUrlEmpty),
        (" \t\n", FailureKind::WebhookUrlEmpty),
        ("ftp://example.com/", FailureKind::WebhookUrlBadScheme),
        ("file:///etc/passwd", FailureKind::WebhookUrlBadScheme),
        ("javascript:alert(1)", FailureKind::WebhookUrlBadScheme),
        ("gopher://127.0.0.1/", FailureKind::WebhookUrlBadScheme),
        ("example.com/hook", FailureKind::WebhookUrlBadScheme),
        ("//example.com/hook", FailureKind::WebhookUrlBadScheme),
        ("ftp://[", FailureKind::WebhookUrlBadScheme),
        ("http://", FailureKind::WebhookUrlNoHost),
        ("https://:443/", FailureKind::WebhookUrlNoHost),
        ("https://./", FailureKind::WebhookUrlNoHost),
        ("http://[::1", FailureKind::WebhookUrlNoHost),
        ("http://1.2.3.4.5/", FailureKind::WebhookUrlNoHost),
        ("http://example.com:99999/", FailureKind::WebhookUrlNoHost),
        ("https://user@example.com/", FailureKind::WebhookUrlBlocked),
        ("https://:secret@example.com/", FailureKind::WebhookUrlBlocked),
        ("https://example.com\t.evil/", FailureKind::WebhookUrlBlocked),
        ("http://exa\r\nmple.com/", FailureKind::WebhookUrlBlocked),
    ] {
        assert_eq!(kind(&guard, url), Some(expected), "{url}");
    }
}

#[test]
fn ordinary_addresses_pass_in_their_normal_form() {
    let guard = Guard::new();
    for (url, normal) in [
        ("https://agent.example.com/hook?a=b", "https://agent.example.com/hook?a=b"),
        (" HTTP://Agent.Example.COM:8123 ", "http://agent.example.com:8123/"),
        ("http://10.example.com/", "http://10.example.com/"),
        ("http://agent/", "http://agent/"),
        ("http://8.8.8.8:1/", "http://8.8.8.8:1/"),
        ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://mylocalhost/", "https://mylocalhost/"),
        ("https://internal.example.com/", "https://internal.example.com/"),
    ] {
        assert_eq!(guard.check_url(url).map(String::from).as_deref(), Ok(normal));
    }
}

#[test]
fn names_that_mean_something_within_a_network_only_are_refused() {
    for name in
        ["localhost", "LocalHost.", "a.localhost", "printer.local", "db.internal.", "x.home.arpa"]
    {
        let refused = kind(&Guard::new(), &format!("http://{name}:8080/"));
        assert_eq!(refused, Some(FailureKind::WebhookUrlBlocked), "{name}");
    }
}

#[test]
fn an_address_is_as_long_as_it_may_be_and_not_longer() {
    let url = |bytes: usize| format!("https://example.com/{}", "a".repeat(bytes - 20));

    assert_eq!(kind(&Guard::new(), &url(2_048)), None);
    assert_eq!(kind(&Guard::new(), &url(2_049)), Some(FailureKind::WebhookUrlBlocked));
    let label = "a".repeat(63);
    let name = [&*label, &label, &label, &label].join(".");
    assert_eq!(
        kind(&Guard::new(), &format!("https://{name}/")),
        Some(FailureKind::WebhookUrlBlocked)
    );
}

#[test]
fn the_loopback_exception_has_three_spellings_and_nothing_else() {
    let guard = Guard::new().with_loopback(Loopback::Allowed);

    for url in [
        "http://localhost:8080/",
        "http://LOCALHOST.:8080/",
        "http://127.0.0.1:1/",
        "http://[::1]:8080/",
        "http://[::ffff:127.0.0.1]/",
    ] {
        assert_eq!(kind(&guard, url), None, "{url}");
    }
    for url in [
        "http://127.0.0.2/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://a.localhost/",
        "http://10.0.0.1/",
    ] {
        assert_eq!(kind(&guard, url), Some(FailureKind::WebhookUrlBlocked), "{url}");
    }
    assert!(guard.check_answers("localhost", &answers(&["127.0.0.1", "::1"]), 80).is_ok());
    assert!(guard.check_answers("localhost", &answers(&["10.0.0.1"]), 80).is_err());
    assert!(guard.check_answers("agent.example", &answers(&["127.0.0.1"]), 80).is_err());
}

#[test]
fn our_own_address_is_never_called() {
    for own in ["0.0.0.0:8000", "[::]:8000", "127.0.0.1:8000", "[::1]:8000"] {
        let guard = Guard::new()
            .with_loopback(Loopback::Allowed)
            .with_allowed(rules(&["me", "127.0.0.0/8"]))
            .with_own_addresses([own.parse().unwrap()]);

        for url in ["http://127.0.0.1:8000/", "http://[::1]:8000/", "http://127.0.0.1:08000/x"] {
            assert_eq!(kind(&guard, url), Some(FailureKind::WebhookUrlBlocked), "{own} {url}");
        }
        assert!(guard.check_answers("localhost", &answers(&["127.0.0.1"]), 8000).is_err());
        assert!(guard.check_answers("me", &answers(&["127.0.0.1"]), 8000).is_err());
        assert!(guard.check_answers("localhost", &answers(&["127.0.0.1"]), 8001).is_ok());
    }
}

#[test]
fn one_bad_answer_is_enough_to_refuse() {
    let guard = Guard::new();

    assert!(guard.check_answers("a.example", &answers(&["8.8.8.8", "2606:4700::1"]), 80).is_ok());
    for bad in
        ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
    {
        assert!(
            guard.check_answers("a.example", &answers(&["8.8.8.8", bad]), 80).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn what_an_operator_allows_is_allowed_and_no_more() {
    let guard = Guard::new().with_allowed(rules(&[
        "Agents.Internal.",
        "10.20.0.0/16",
        "fd00::/8",
        "172.16.0.9",
    ]));

    for url in [
        "http://agents.internal/",
        "http://AGENTS.internal.:99/",
        "http://10.20.3.4/",
        "http://[fd12::1]/",
        "http://172.16.0.9/",
    ] {
        assert_eq!(kind(&guard, url), None, "{url}");
    }
    for url in [
        "http://x.agents.internal/",
        "http://10.21.0.1/",
        "http://[fc00::1]/",
        "http://172.16.0.8/",
    ] {
        assert_eq!(kind(&guard, url), Some(FailureKind::WebhookUrlBlocked), "{url}");
    }
    assert!(guard.check_answers("agents.internal.", &answers(&["192.168.0.1"]), 80).is_ok());
    assert!(guard.check_answers("other.example", &answers(&["10.20.0.1"]), 80).is_ok());
    assert!(guard.check_answers("other.example", &answers(&["192.168.0.1"]), 80).is_err());
}

#[test]
fn schemes_and_ports_can_be_narrowed() {
    let guard = Guard::new().with_https_only(true).with_ports([443, 8443]);

    assert_eq!(kind(&guard, "https://example.com/"), None);
    assert_eq!(kind(&guard, "https://example.com:8443/"), None);
    assert_eq!(kind(&guard, "https://example.com:22/"), Some(FailureKind::WebhookUrlBlocked));
    assert_eq!(kind(&guard, "http://example.com:443/"), Some(FailureKind::WebhookUrlBadScheme));
}

#[test]
fn a_rule_that_is_none_is_refused() {
    for text in ["", ".", "a b", "10.0.0.0/33", "http://x/", "*.internal"] {
        assert!(text.parse::<AllowRule>().is_err(), "{text}");
    }
}
