//! E-mail addresses: what counts as one. Nothing is looked up.

/// Top-level names that no mail goes to.
const SPECIAL_USE: [&str; 6] = ["arpa", "invalid", "local", "localhost", "onion", "test"];
const MAX_ADDRESS_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;

/// Reads an address: trimmed, the domain in lower case, the local part as it is.
///
/// # Errors
///
/// Why it is none, in a few words.
pub fn parse(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let (local, domain) = text.split_once('@').ok_or("An email address must have an @-sign.")?;
    check_local(local)?;
    let domain = domain.to_lowercase();
    check_domain(&domain)?;
    let address = format!("{local}@{domain}");
    if address.len() > MAX_ADDRESS_BYTES {
        return Err("The email address is too long.");
    }
    Ok(address)
}

fn check_local(local: &str) -> Result<(), &'static str> {
    if local.is_empty() {
        return Err("There must be something before the @-sign.");
    }
    if local.len() > MAX_LOCAL_BYTES {
        return Err("The email address is too long before the @-sign.");
    }
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-.".contains(c);
    if dots || !local.chars().all(atom) {
        return Err("The email address contains invalid characters before the @-sign.");
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<(), &'static str> {
    if domain.is_empty() {
        return Err("There must be something after the @-sign.");
    }
    let ascii = idna::domain_to_ascii_strict(domain)
        .map_err(|_| "The part after the @-sign contains invalid characters.")?;
    let (_, top) =
        ascii.rsplit_once('.').ok_or("The part after the @-sign should have a period.")?;
    if top.is_empty() || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("The part after the @-sign is not valid.");
    }
    if SPECIAL_USE.contains(&top) {
        return Err("The part after the @-sign is a special-use or reserved name.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_their_domain_is_lowered() {
        for (text, address) in [
            ("nora@example.com", "nora@example.com"),
            (" Nora.B+x@EXAMPLE.Com ", "Nora.B+x@example.com"),
            ("zoë@exämple.de", "zoë@exämple.de"),
            ("a@b.co", "a@b.co"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.com", "x".repeat(65));
        let long = format!("a@{}.com", "x.".repeat(140));
        for text in [
            "",
            "nora",
            "@example.com",
            "nora@",
            "a@b@example.com",
            "a b@example.com",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "a@example",
            "a@example.test",
            "a@x.local",
            "a@localhost",
            "a@-x.com",
            "a@x..com",
            "a@127.0.0.1",
            "a@[::1]",
            "a\"b@example.com",
            "a@exa mple.com",
            "a@.com",
            &long_local,
            &long,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
