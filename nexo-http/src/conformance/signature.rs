//! Signatures, written out so that what is tested does not judge itself.

use sha2::{Digest, Sha256};

/// HMAC-SHA256 as RFC 2104 says it, in lower-case hex digits.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    assert!(key.len() <= 64, "longer keys would have to be hashed first");
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ with).collect()
    };
    let inner = Sha256::digest([&pad(0x36), message].concat());
    let outer = Sha256::digest([&pad(0x5c)[..], &inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::hmac_sha256;

    #[test]
    fn the_suite_signs_as_published_vectors_say() {
        for (secret, signed, signature) in [
            (
                "nexo-vector-key",
                r#"1767225600.{"ping":"pong"}"#,
                "2289d808cc98d288c3a5a5fae5dc80fe55b51e02215133c1b761fe227cde5de5",
            ),
            (
                "nexo-vector-key",
                r#"1767225600.{"text":"Grüße, señor 😀 你好"}"#,
                "0849eae686f923923a55b6c9705af28a18213e5e5fa9c9437eac3ea2fdfc4701",
            ),
            (
                "nexo-vector-key",
                "0.",
                "73b1c2fbe580cf7631fbc47879558b083063ca7771865f405f8cc9e3b76aa405",
            ),
            (
                "clé-ключ",
                r#"1767225600.{"ping":"pong"}"#,
                "270eb821532c6ba4236e143c900251b6b65dd6617e0f5b8fdf88e0eb18a9eeca",
            ),
        ] {
            assert_eq!(hmac_sha256(secret.as_bytes(), signed.as_bytes()), signature);
        }
    }
}
