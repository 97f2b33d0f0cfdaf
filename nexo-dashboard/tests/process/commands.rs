//! The commands beside the server.

use std::{fs, io::Write, process::Stdio};

use serde_json::Value;

use crate::harness::{FRAMEWORKS, Home, PASSWORD, said};

#[tokio::test]
async fn seeding_twice_makes_everything_once() {
    let home = Home::new();

    let first = home.run(&["seed"], &[]);
    let second = home.run(&["seed", "alice"], &[]);

    assert!(first.status.success() && second.status.success(), "{}{}", said(&first), said(&second));
    assert_eq!(said(&first).matches("created").count(), 2, "{}", said(&first));
    assert_eq!(said(&second).matches("found").count(), 2, "{}", said(&second));
    assert_eq!(said(&second).matches("created").count(), 2, "{}", said(&second));
    let server = home.start(&[]);
    for email in ["tester@nexo.xyz", "alice@nexo.xyz"] {
        let (status, token) = server.log_in(email, "NexoPass#99").await;
        assert_eq!(status, 200);
        let (_, me) = server.get("/users/me", &token).await;
        assert_eq!((&me["is_verified"], &me["is_superuser"]), (&true.into(), &false.into()));
        let (_, apps) = server.get("/apps/", &token).await;
        assert_eq!(apps["total"], 1);
        assert_eq!(apps["items"][0]["name"], "Test App");
        assert_eq!(apps["items"][0]["config_json"]["integration"]["mode"], "simulator");
    }
}

#[test]
fn a_persona_that_is_no_name_is_refused() {
    let output = Home::new().run(&["seed", "a@b"], &[]);

    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("`a@b`"), "{}", said(&output));
}

#[test]
fn help_teaches_by_example() {
    let home = Home::new();

    for (arguments, expected) in [
        (&["--help"][..], "nexo-dashboard user create ann@example.com"),
        (&["seed", "--help"], "nexo-dashboard seed alice bob"),
        (&["user", "create", "--help"], "--password-stdin"),
        (&["doctor", "--help"], "exit code 1"),
    ] {
        let output = home.run(arguments, &[]);
        assert!(output.status.success());
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

#[test]
fn the_web_framework_is_chosen_by_a_flag() {
    let home = Home::new();
    for framework in FRAMEWORKS {
        let output = home.run(&["--http", framework, "--print-config"], &[]);
        let chosen = format!("HTTP_FRAMEWORK={framework}  # flag\n");
        assert!(said(&output).contains(&chosen), "{}", said(&output));
    }

    let refused = said(&home.run(&["--http", "rocket"], &[]));

    let told = format!("HTTP_FRAMEWORK is `rocket`; allowed: {}", FRAMEWORKS.join(", "));
    assert!(refused.contains(&told), "{refused}");
}

#[test]
fn migrating_again_changes_nothing() {
    let home = Home::new();

    for _ in 0..2 {
        let output = home.run(&["migrate"], &[]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn the_document_is_written_where_it_was_asked_for() {
    let home = Home::new();
    let id = |document: &Value| {
        document["paths"]["/auth/jwt/login"]["post"]["operationId"].as_str().unwrap().to_owned()
    };

    let to_file = home.run(&["openapi"], &[("OPENAPI_OUTPUT_FILE", "api.json")]);
    let stripped = home.run(&["openapi"], &[]);
    let served = home.run(&["openapi", "--served"], &[]);

    assert!(to_file.status.success(), "{}", said(&to_file));
    let file: Value =
        serde_json::from_slice(&fs::read(home.path().join("api.json")).unwrap()).unwrap();
    let stripped: Value = serde_json::from_slice(&stripped.stdout).unwrap();
    let served: Value = serde_json::from_slice(&served.stdout).unwrap();
    assert_eq!(file, stripped);
    assert!(id(&served).ends_with("auth:jwt.login"));
    assert_ne!(id(&served), id(&stripped));
    assert!(!home.data().exists(), "a document needs no data");
}

fn with_password(home: &Home, arguments: &[&str], password: &str) -> std::process::Output {
    let mut command = home.command(arguments, &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn users_are_made_promoted_and_given_new_passwords() {
    let home = Home::new();
    let create = ["user", "create", "ann@example.com", "--password-stdin"];

    let weak = with_password(&home, &create, "weak");
    assert!(said(&weak).contains("at least 8 characters"), "{}", said(&weak));
    let made = with_password(&home, &create, PASSWORD);
    assert!(made.status.success(), "{}", said(&made));
    let again = with_password(&home, &create, PASSWORD);
    assert!(said(&again).contains("there is a user ann@example.com"), "{}", said(&again));

    let server = home.start(&[]);
    let (_, token) = server.log_in("ann@example.com", PASSWORD).await;
    assert!(home.run(&["user", "promote", "ANN@example.com"], &[]).status.success());
    assert_eq!(server.get("/users/me", &token).await.1["is_superuser"], true);

    let reset = ["user", "reset-password", "ann@example.com", "--password-stdin"];
    let reset = with_password(&home, &reset, "Battery!Staple");
    assert!(reset.status.success(), "{}", said(&reset));
    assert_eq!(server.get("/users/me", &token).await.0, 401);
    assert_eq!(server.log_in("ann@example.com", "Battery!Staple").await.0, 200);

    let nobody = home.run(&["user", "promote", "bob@example.com"], &[]);
    assert!(said(&nobody).contains("there is no user bob@example.com"), "{}", said(&nobody));
}

#[test]
fn without_a_terminal_or_a_pipe_no_password_is_waited_for() {
    let output = Home::new().run(&["user", "create", "ann@example.com"], &[]);

    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--password-stdin"), "{}", said(&output));
}

#[test]
fn the_doctor_finds_nothing_in_a_good_set_up() {
    let home = Home::new();
    for _ in 0..2 {
        let output = home.run(&["doctor"], &[("PORT", "0")]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("0 problem(s)"), "{}", said(&output));
        home.run(&["migrate"], &[]);
    }
}

#[test]
fn the_doctor_names_each_problem() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.run(&["migrate"], &[]);
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o755)).unwrap();
    damage(&home);

    let output = home.run(&["doctor"], &[("MAIL_SERVER", "127.0.0.1"), ("MAIL_PORT", "1")]);

    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for problem in ["PROBLEM  data directory", "PROBLEM  database", "PROBLEM  mail"] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    assert!(said.contains("chmod 700"), "{said}");
}

#[test]
fn the_doctor_misses_secrets_that_are_gone_and_makes_none() {
    let home = Home::new();
    home.run(&["migrate"], &[]);
    let secrets = home.data().join("secrets.toml");
    fs::remove_file(&secrets).unwrap();

    let output = home.run(&["doctor"], &[]);

    assert!(said(&output).contains("PROBLEM  secrets file"), "{}", said(&output));
    assert!(!secrets.exists());
}

/// Overwrites the middle of the database's file.
fn damage(home: &Home) {
    let path = home.data().join("nexo.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0xFF);
    fs::write(path, bytes).unwrap();
}
