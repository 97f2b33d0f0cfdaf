//! The document that is checked in is the one that is served: what clients see of a change
//! shows in review.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use nexo_core::{MemoryStore, Nexo};
use nexo_http::{Accounts, Api, PasswordSettings, Passwords, TokenSecrets, Tokens};

fn api() -> Api {
    let secrets = TokenSecrets {
        access: "a".repeat(32).as_str().into(),
        reset_password: "r".repeat(32).as_str().into(),
        verification: "v".repeat(32).as_str().into(),
    };
    let cheap = PasswordSettings { memory_kib: 8, passes: 1, lanes: 1 };
    let tokens = Tokens::new(&secrets, Duration::from_secs(3_600));
    let store = Arc::new(MemoryStore::new());
    let accounts = Accounts::new(store.clone(), Passwords::new(cheap), tokens);
    let nexo = Nexo::builder().store(store).build();
    Api::with_accounts(nexo, accounts)
}

#[tokio::test]
async fn the_checked_in_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let served = serde_json::to_string_pretty(&api().openapi()).unwrap() + "\n";

    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &served).unwrap();
    }

    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == served,
        "the API's document has changed; to accept that, run: \
         UPDATE_OPENAPI=1 cargo test -p nexo-http --test openapi"
    );
}

#[tokio::test]
async fn the_document_for_generators_has_the_ids_without_their_tags() {
    let document = api().openapi_for_clients();

    assert_eq!(document["paths"]["/apps/"]["get"]["operationId"], "read_app");
    assert_eq!(document["paths"]["/auth/jwt/login"]["post"]["operationId"], "auth:jwt.login");
    let verify = &document["paths"]["/auth/request-verify-token"]["post"];
    assert_eq!(verify["operationId"], "verify:request-token");
}
