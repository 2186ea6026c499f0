//! Secrets and their verifiers: Argon2id, on threads of their own.
//!
//! A secret is what the client sends: message_store's `password_hash` as it is, and for the other
//! APIs the SHA-256 of the password in lower-case hex (see [`secret_of`]), so that one account
//! opens with the same password everywhere.

use std::time::Duration;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
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
    in_turn(app, move || hash_now(&secret)).await?
}

/// Checks a secret in constant time; `None` for a user who does not exist.
pub(super) async fn verify(app: &App, secret: String, verifier: Option<String>) -> Result<Verdict> {
    let is_known = verifier.is_some();
    let verdict = in_turn(app, move || -> Result<Verdict> {
        let verifier = verifier.as_deref().unwrap_or(NOBODYS_VERIFIER);
        let parsed = PasswordHash::new(verifier).map_err(|cause| problem(&cause))?;
        let is_right = hasher()?
            .verify_password(secret.as_bytes(), &parsed)
            .is_ok();
        if !is_right {
            return Ok(Verdict::Wrong);
        }
        let params = Params::try_from(&parsed).map_err(|cause| problem(&cause))?;
        if params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES {
            return Ok(Verdict::Outdated(hash_now(&secret)?));
        }
        Ok(Verdict::Right)
    })
    .await??;
    Ok(if is_known { verdict } else { Verdict::Wrong })
}

fn hash_now(secret: &str) -> Result<String> {
    let salt = SaltString::generate(&mut OsRng);
    let verifier = hasher()?.hash_password(secret.as_bytes(), &salt);
    verifier
        .map(|verifier| verifier.to_string())
        .map_err(|cause| problem(&cause))
}

fn hasher() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .map_err(|cause| Error::Internal(cause.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn problem(cause: &argon2::password_hash::Error) -> Error {
    Error::Internal(format!("argon2: {cause}"))
}

/// Runs hashing work when a processor is free for it.
async fn in_turn<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let permit = tokio::time::timeout(PATIENCE, app.hashing.acquire()).await;
    let Ok(Ok(_permit)) = permit else {
        return Err(Error::Busy {
            retry_after_secs: 2,
        });
    };
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread of its own each time, since a thread that has stood back may not come forward again.
    std::thread::Builder::new()
        .name("password".into())
        .spawn(move || {
            // On Linux this is the niceness of this thread alone. Without it hashing goes on all the same.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            // A caller that has gone needs no answer.
            let _ = answer.send(work());
        })?;
    answered
        .await
        .map_err(|cause| Error::Internal(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_of_nobody_is_as_costly_as_a_real_one_and_opens_to_nothing() {
        let nobody = PasswordHash::new(NOBODYS_VERIFIER).expect("it parses");
        let params = Params::try_from(&nobody).expect("it has parameters");
        assert_eq!((params.m_cost(), params.t_cost()), (MEMORY_KIB, PASSES));
        let hasher = hasher().expect("parameters are valid");
        assert!(hasher.verify_password(b"", &nobody).is_err());
    }

    #[test]
    fn the_secret_of_a_password_is_its_sha256_in_lower_case_hex() {
        assert_eq!(
            secret_of("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
