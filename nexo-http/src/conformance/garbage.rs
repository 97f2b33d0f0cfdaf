//! Bad input, made from the OpenAPI document: whatever is sent where, no answer blames the
//! server, and nothing that is stored breaks what is read later.

use serde_json::{Map, Value, json};

use super::{
    Setup,
    client::{Answer, Caller},
    world::{App, World, text},
};

/// An operation of the document, with the ids of real things in its path.
struct Operation {
    method: String,
    path: String,
    /// The fields of its JSON body, each with its schema.
    fields: Map<String, Value>,
    takes_json: bool,
    queries: Vec<String>,
    pattern: String,
}

/// A shop whose owner administers users, so that every operation is open to them.
async fn shop(world: &World) -> (App, Vec<Operation>) {
    let (_, root) = world.superuser().await;
    let (user, _) = world.sign_up().await;
    let app = App::create(&root, json!({})).await;
    let thread = app.thread(json!({"customer_id": "c"})).await;
    let message = app.say(&thread, "hello").await["id"].as_str().unwrap().to_owned();
    app.run(&thread).await;
    let (run, delivery) = app.delivered(world, "hello").await;
    let replay = root.post(&app.path(&format!("/runs/{run}/replay")), json!({})).await.ok();
    let page = root.get(&app.path("/subscribers")).await.ok();
    let ids = [
        ("{app_id}", app.id.clone()),
        ("{thread_id}", thread),
        ("{message_id}", message),
        ("{subscriber_id}", page["items"][0]["id"].as_str().unwrap().to_owned()),
        ("{run_id}", run),
        ("{delivery_id}", delivery),
        ("{replay_id}", text(&replay["replay_id"])),
        ("{id}", user.id.to_string()),
    ];
    let operations = operations(&world.document, |pattern| {
        ids.iter().fold(pattern.to_owned(), |path, (name, id)| path.replace(name, id))
    });
    (app, operations)
}

fn operations(document: &Value, path: impl Fn(&str) -> String) -> Vec<Operation> {
    let mut found = Vec::new();
    for (pattern, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let schema =
                body["$ref"].as_str().and_then(|it| document.pointer(it.strip_prefix('#')?));
            let fields = schema.and_then(|it| it["properties"].as_object()).cloned();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            found.push(Operation {
                method: method.to_uppercase(),
                path: path(pattern),
                takes_json: fields.is_some(),
                fields: fields.unwrap_or_default(),
                queries: parameters
                    .filter(|it| it["in"] == "query")
                    .map(|it| it["name"].as_str().unwrap().to_owned())
                    .collect(),
                pattern: pattern.clone(),
            });
        }
    }
    assert!(found.len() > 30);
    found
}

/// Whether the schema takes values of this JSON type.
fn accepts(schema: &Value, kind: &str) -> bool {
    if let Some(either) = schema["anyOf"].as_array() {
        return either.iter().any(|it| accepts(it, kind));
    }
    match &schema["type"] {
        Value::String(name) if name == "boolean" => matches!(kind, "boolean" | "string" | "number"),
        Value::String(name) if name == "integer" => kind == "number",
        Value::String(name) => name == kind,
        Value::Array(names) => names.iter().any(|name| name == kind),
        _ => true,
    }
}

#[track_caller]
fn assert_clients_fault(answer: &Answer) {
    assert!((400..500).contains(&answer.status), "{answer}");
    assert!(answer.json().get("detail").is_some(), "{answer}");
}

#[track_caller]
fn assert_not_servers_fault(answer: &Answer) {
    assert!(answer.status < 500, "{answer}");
}

/// Nothing that was stored on the way breaks a list.
async fn assert_readable(app: &App) {
    for path in [
        "/apps/".into(),
        app.path(""),
        app.path("/threads"),
        app.path("/subscribers"),
        "/users/me".into(),
    ] {
        app.owner.get(&path).await.ok();
    }
}

pub(super) async fn a_value_of_a_wrong_type_is_refused_in_every_field(setup: Setup) {
    let world = setup.start().await;
    let (app, operations) = shop(&world).await;
    let values = [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("number", json!(7)),
        ("number", json!(1.5)),
        ("number", json!(9_223_372_036_854_775_808_u64)),
        ("string", json!("x")),
        ("array", json!(["x"])),
        ("object", json!({"x": 1})),
    ];
    let mut refused = 0;
    for operation in &operations {
        for (field, schema) in &operation.fields {
            for (kind, value) in &values {
                let call = app.owner.call(&operation.method, &operation.path);
                let answer = call.json(&json!({field: value})).send().await;
                assert_not_servers_fault(&answer);
                if accepts(schema, kind) {
                    continue;
                }
                let told = answer.violations();
                let about = |entry: &Value| entry["loc"] == json!(["body", field]);
                assert!(told.iter().any(about), "{field} = {value}: {answer}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
    assert_readable(&app).await;
}

pub(super) async fn a_body_that_is_no_good_json_is_refused_everywhere(setup: Setup) {
    let world = setup.start().await;
    let (app, operations) = shop(&world).await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let bodies: [&[u8]; 16] = [
        b"{",
        b"}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":1e400}",
        b"{\"a\":-1e400}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\udc00\\ud800\"}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":\"\x00\"}",
        b"{} {}",
        b"{\"a\":1,}",
        deep.as_bytes(),
    ];
    for operation in operations.iter().filter(|it| it.takes_json) {
        for body in bodies {
            for caller in [&app.owner, &world.nobody()] {
                let call = caller.call(&operation.method, &operation.path);
                let answer = call.body("application/json", body).send().await;
                let entry = answer.violations().remove(0);
                assert_eq!(entry["type"], "json_invalid", "{answer}");
            }
        }
    }
    assert_readable(&app).await;
}

pub(super) async fn no_text_may_have_a_zero_in_it(setup: Setup) {
    let world = setup.start().await;
    let (app, operations) = shop(&world).await;
    for operation in &operations {
        for field in operation.fields.keys() {
            for value in [json!("a\0b"), json!({"deep": ["\0"]}), json!({"a\0b": 1})] {
                let call = app.owner.call(&operation.method, &operation.path);
                let answer = call.json(&json!({field: value})).send().await;
                assert_eq!(answer.violations()[0]["type"], "value_error", "{answer}");
            }
        }
        for query in &operation.queries {
            let path = format!("{}?{query}=a%00b", operation.path);
            let call = app.owner.call(&operation.method, &path).json(&json!({}));
            let answer = call.send().await;
            let about =
                |it: &Value| it["type"] == "value_error" && it["loc"] == json!(["query", query]);
            assert!(answer.violations().iter().any(about), "{answer}");
        }
    }
    let login = world.nobody().call("POST", "/auth/jwt/login");
    let form = login.body("application/x-www-form-urlencoded", "username=a%00&password=b");
    form.send().await.violates(&[("value_error", &["body", "username"])]);
    assert_readable(&app).await;
}

pub(super) async fn odd_values_in_a_query_blame_nobody_else(setup: Setup) {
    let world = setup.start().await;
    let (app, operations) = shop(&world).await;
    let values =
        ["", "x", "-1", "9223372036854775808", "1e3", "%ff", "%", "%F0%9F%98%80", "a=b", "null"];
    for operation in operations.iter().filter(|it| it.method == "GET") {
        for query in &operation.queries {
            for value in values {
                let path = format!("{}?{query}={value}&{query}={value}", operation.path);
                if operation.pattern.ends_with("/events") && value.is_empty() {
                    // Nothing is no cursor: a stream, which may well have no end.
                    assert_eq!(app.owner.call("GET", &path).open().await.status, 200);
                    continue;
                }
                let answer = app.owner.get(&path).await;
                assert_not_servers_fault(&answer);
                if matches!(&**query, "limit" | "page" | "size") {
                    assert_clients_fault(&answer);
                }
            }
        }
    }
}

pub(super) async fn odd_ids_in_a_path_name_nothing(setup: Setup) {
    let world = setup.start().await;
    let (app, operations) = shop(&world).await;
    let odd = ["x", "%00", "%ff", "%2F", "..%2f..", "null", "1e3", "%F0%9F%98%80", "{app_id}", "*"];
    let agent: &Caller = &app.owner;
    for operation in operations.iter().filter(|it| it.pattern.contains('{')) {
        for id in odd {
            let segments = operation.pattern.split('/');
            let path = segments.map(|it| if it.starts_with('{') { id } else { it });
            let path = path.collect::<Vec<_>>().join("/");
            let answer = agent.call(&operation.method, &path).json(&json!({})).send().await;
            assert_clients_fault(&answer);
        }
    }
}

pub(super) async fn of_equal_names_the_last_counts(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let call = owner.call("POST", "/apps/");

    let app = call.body("application/json", r#"{"name":1,"name":"last"}"#).send().await.ok();

    assert_eq!(app["name"], "last");
    assert_eq!(owner.get("/apps/?size=x&size=5").await.ok()["size"], 5);
}

pub(super) async fn free_form_data_comes_back_as_it_went(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({})).await;
    let deepest = (0..60).fold(json!("😀"), |inner, _| json!([inner]));
    let data = json!({"n": 18_446_744_073_709_551_615_u64, "i": i64::MIN, "f": 1.5e300, "z": 0.1,
        "": "", "\u{1f600}": "\u{7f}\u{2028}", "deep": deepest, "a": [null, true, {}]});

    let stored = app.owner.patch(&app.path(""), json!({"config_json": data})).await.ok();

    assert_eq!(stored["config_json"], data);
    assert_eq!(app.owner.get(&app.path("")).await.ok()["config_json"], data);
}
