//! Argon2id, in memory that goes back to the system.
//!
//! A hash takes 19 MiB for a moment. The allocator of glibc would keep that much for good in
//! each thread that ever computed one, and a server that stands idle would hold hundreds of
//! MiB. It does give back every block of more than 32 MiB as soon as it is freed, so a block
//! that large is asked for; the part of it that nobody writes to takes no memory.

use argon2::{
    Argon2, Block, Params,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};

const GIVEN_BACK_BYTES: usize = 33 * 1024 * 1024;

/// Hashes a password with a salt of its own.
pub(super) fn hash(argon2: &Argon2<'_>, password: &str) -> String {
    let salt = Salt::generate();
    let params = argon2.params();
    let hash = PasswordHash {
        algorithm: argon2::Algorithm::Argon2id.ident(),
        version: Some(argon2::Version::V0x13.into()),
        params: ParamsString::try_from(params).expect("three numbers fit"),
        salt: Some(salt),
        hash: Some(
            output(argon2, params, password, &salt)
                .expect("any password within a request's size can be hashed"),
        ),
    };
    hash.to_string()
}

/// Whether a password is the one of a hash of any cost. Takes the same time wherever the
/// first difference is.
pub(super) fn verifies(password: &str, stored: &PasswordHash) -> bool {
    computed_again(password, stored).is_some_and(|output| stored.hash == Some(output))
}

fn computed_again(password: &str, stored: &PasswordHash) -> Option<Output> {
    let algorithm = stored.algorithm.as_str().try_into().ok()?;
    let version = stored.version.map_or(Ok(argon2::Version::V0x13), TryInto::try_into).ok()?;
    let params = Params::try_from(stored).ok()?;
    let argon2 = Argon2::new(algorithm, version, params);
    output(&argon2, argon2.params(), password, &stored.salt?)
}

fn output(argon2: &Argon2<'_>, params: &Params, password: &str, salt: &Salt) -> Option<Output> {
    let mut memory = memory(params.block_count());
    let mut bytes = [0; Output::MAX_LENGTH];
    let out = bytes.get_mut(..params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN))?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut memory).ok()?;
    Output::new(out).ok()
}

fn memory(blocks: usize) -> Vec<Block> {
    let mut memory = Vec::with_capacity(blocks.max(GIVEN_BACK_BYTES / Block::SIZE));
    memory.resize(blocks, Block::default());
    memory
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, PasswordVerifier, Version};

    use super::*;

    /// Of the password `password`; from the tests of the reference implementation in C.
    const REFERENCE: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn a_hash_of_another_implementation_verifies() {
        let stored = PasswordHash::new(REFERENCE).unwrap();

        assert!(verifies("password", &stored));
        assert!(!verifies("Password", &stored));
    }

    #[test]
    fn another_implementation_verifies_ours() {
        let params = Params::new(64, 2, 2, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);

        let stored = hash(&argon2, "pässword");

        assert!(stored.starts_with("$argon2id$v=19$m=64,t=2,p=2$"), "{stored}");
        assert!(argon2.verify_password("pässword".as_bytes(), stored.as_str()).is_ok());
        assert_ne!(hash(&argon2, "pässword"), stored);
    }
}
