//! Secrets and their verifiers: Argon2id, on threads of their own.
//!
//! A secret is what the client sends: message_store's `password_hash` as it is, and for the other
//! APIs the SHA-256 of the password in lower-case hex (see [`secret_of`]), so that one account
//! opens with the same password everywhere.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{self, Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::error::{Error, Result};

/// OWASP's minimum for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// How long a login waits for a processor before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much the hashing threads stand back for those that serve requests.
const NICENESS: i32 = 10;

/// The verifier of a secret that nobody has: an unknown user costs what a wrong secret costs.
const NOBODYS_VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2VhbHBvc3Qgbm9ib2R5$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The secret of a plain password: its SHA-256, lower-case hex.
pub fn secret_of(password: &str) -> String {
    format!("{:x}", Sha256::digest(password.as_bytes()))
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not the secret.
    Wrong,
    /// The secret.
    Right,
    /// The secret, but the verifier is of weaker parameters; here is a new one.
    Outdated(String),
}

/// A new verifier for a secret. Errors: [`Error::Busy`].
pub(super) async fn hash(app: &App, secret: String) -> Result<String> {
    in_turn(app, move |memory| new_verifier(&secret, memory)).await
}

/// Checks a secret in constant time; `None` for a user who does not exist.
pub(super) async fn verify(app: &App, secret: String, verifier: Option<String>) -> Result<Verdict> {
    let is_known = verifier.is_some();
    let verdict = in_turn(app, move |memory| {
        let verifier = verifier.as_deref().unwrap_or(NOBODYS_VERIFIER);
        let verifier = PasswordHash::new(verifier)?;
        let params = Params::try_from(&verifier)?;
        let is_outdated = params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES;
        if !is_secret_of(&secret, &verifier, params, memory)? {
            Ok(Verdict::Wrong)
        } else if is_outdated {
            Ok(Verdict::Outdated(new_verifier(&secret, memory)?))
        } else {
            Ok(Verdict::Right)
        }
    })
    .await?;
    Ok(if is_known { verdict } else { Verdict::Wrong })
}

/// What hashing fails with, and the memory it works in.
type Hashed<T> = Result<T, password_hash::Error>;
type Memory = Vec<Block>;

fn new_verifier(secret: &str, memory: &mut Memory) -> Hashed<String> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)?;
    let salt = SaltString::generate(&mut OsRng);
    let verifier = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(salt.as_salt()),
        hash: Some(output(secret, salt.as_salt(), params, memory)?),
    };
    Ok(verifier.to_string())
}

/// Compares in constant time.
fn is_secret_of(
    secret: &str,
    verifier: &PasswordHash,
    params: Params,
    memory: &mut Memory,
) -> Hashed<bool> {
    let (Some(salt), Some(expected)) = (verifier.salt, verifier.hash) else {
        return Err(password_hash::Error::PhcStringField);
    };
    Ok(output(secret, salt, params, memory)? == expected)
}

fn output(secret: &str, salt: Salt, params: Params, memory: &mut Memory) -> Hashed<Output> {
    let mut salt_bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut salt_bytes)?;
    memory.resize(params.block_count(), Block::default());
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Output::init_with(length, |output| {
        Ok(argon2.hash_password_into_with_memory(secret.as_bytes(), salt, output, memory)?)
    })
}

/// Runs hashing work when a processor is free for it, in the memory of whoever hashed before: to
/// have it mapped anew costs a fifth of a hash. Once nobody hashes it is given back.
async fn in_turn<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&mut Memory) -> Hashed<T> + Send + 'static,
) -> Result<T> {
    let turn = tokio::time::timeout(PATIENCE, app.hashing.turns.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err(Error::Busy {
            retry_after_secs: 2,
        });
    };
    let mut memory = spare_memory(app).pop().unwrap_or_default();
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread of its own each time, since a thread that has stood back may not come forward again.
    std::thread::Builder::new()
        .name("password".into())
        .spawn(move || {
            // On Linux this is the niceness of this thread alone. Without it hashing goes on all the same.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            let outcome = work(&mut memory);
            // A caller that has gone needs no answer; the turn ends here then.
            let _ = answer.send((outcome, memory, turn));
        })?;
    let (outcome, memory, turn) = answered
        .await
        .map_err(|cause| Error::Internal(cause.to_string()))?;
    spare_memory(app).push(memory);
    drop(turn);
    if app.hashing.turns.available_permits() == app.hashing.most {
        spare_memory(app).clear();
    }
    outcome.map_err(|cause| Error::Internal(format!("argon2: {cause}")))
}

fn spare_memory(app: &App) -> MutexGuard<'_, Vec<Memory>> {
    let memory = app.hashing.memory.lock();
    memory.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_of_nobody_is_as_costly_as_a_real_one_and_opens_to_nothing() {
        let nobody = PasswordHash::new(NOBODYS_VERIFIER).expect("it parses");
        let params = Params::try_from(&nobody).expect("it has parameters");
        assert_eq!((params.m_cost(), params.t_cost()), (MEMORY_KIB, PASSES));
        assert_eq!(
            is_secret_of("", &nobody, params, &mut Memory::new()),
            Ok(false)
        );
    }

    #[test]
    fn a_verifier_opens_to_its_secret_and_to_no_other() {
        let mut memory = Memory::new();
        let made = new_verifier("secret", &mut memory).expect("valid parameters");
        // RFC 9106's parameters m, t and p, as the reference implementation writes them.
        assert!(
            made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{made}"
        );
        let verifier = PasswordHash::new(&made).expect("it parses");
        for (secret, is_right) in [("secret", true), ("Secret", false), ("secret", true)] {
            let params = Params::try_from(&verifier).expect("it has parameters");
            let found = is_secret_of(secret, &verifier, params, &mut memory);
            assert_eq!(found, Ok(is_right), "{secret}, in memory used before");
        }
        let by_library = argon2::PasswordVerifier::verify_password;
        assert_eq!(by_library(&Argon2::default(), b"secret", &verifier), Ok(()));
    }

    #[test]
    fn the_secret_of_a_password_is_its_sha256_in_lower_case_hex() {
        assert_eq!(
            secret_of("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
