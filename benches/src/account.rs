//! Accounts, of which every measurement gets one of its own.

use std::{io, time::SystemTime};

use serde_json::json;

use crate::client::{Client, text};

/// Registers an account on a server, signs in, and gives the token.
///
/// # Errors
///
/// If the server can't be reached, or does not want it.
pub async fn sign_up(server: &str, name: &str) -> io::Result<String> {
    let since = SystemTime::UNIX_EPOCH.elapsed().map_err(io::Error::other)?;
    let email = format!("{name}-{}@example.com", since.as_nanos());
    let mut client = Client::connect(server, None).await?;
    let account = json!({"email": email, "password": "Load#Test1"}).to_string();
    client.send("POST", "/auth/register", &account).await?;
    let form = format!("username={email}&password=Load%23Test1");
    let login = client.send_form("/auth/jwt/login", &form).await?.json()?;
    text(&login["access_token"])
}
