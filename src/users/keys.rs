//! The directory of public keys, and the private keys that clients keep here sealed.
//!
//! Keys are opaque text, stored and returned byte for byte. What does parse as an RSA public key
//! is held to sane sizes; nothing is ever encrypted or decrypted with them here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use diesel::prelude::*;
use rsa::BigUint;
use rsa::pkcs8::spki::SubjectPublicKeyInfoRef;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::model::UserId;
use crate::schema::users;

/// The longest key text, in bytes (chat8 §Keys; the others follow it).
pub const LONGEST_KEY_BYTES: usize = 64 << 10;

/// A user's own pair, as they stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// For everybody.
    pub public_key: String,
    /// Sealed by the client; of use to its owner only.
    pub sealed_private_key: Option<String>,
}

/// A user's public key. Errors: [`Error::UnknownUser`], [`Error::UnknownKey`].
pub fn public_key(app: &App, user: UserId) -> Result<String> {
    key_pair(app, user).map(|pair| pair.public_key)
}

/// A user's pair. Errors: [`Error::UnknownUser`], [`Error::UnknownKey`].
pub fn key_pair(app: &App, user: UserId) -> Result<KeyPair> {
    let found = app.db.read(|conn| {
        let row = users::table
            .find(user)
            .select((users::public_key, users::sealed_private_key));
        Ok(row
            .first::<(Option<String>, Option<String>)>(conn)
            .optional()?)
    })?;
    let (public_key, sealed_private_key) = found.ok_or(Error::UnknownUser)?;
    Ok(KeyPair {
        // Whoever registered with an empty one has none to write to.
        public_key: public_key
            .filter(|key| !key.is_empty())
            .ok_or(Error::UnknownKey)?,
        sealed_private_key,
    })
}

/// Replaces a user's pair, or the public half alone: without a sealed private key the one that is
/// stored stays. Whoever is shown the key hears of it.
///
/// Errors: [`Error::Invalid`] for a key that is empty or too long, or has NUL characters, and for
/// what [`check_public_key`] refuses.
pub async fn store(app: &App, user: UserId, pair: KeyPair) -> Result<()> {
    let sealed = pair.sealed_private_key.as_deref();
    check_text("public_key", Some(&pair.public_key))?;
    check_text("private key", sealed)?;
    check_public_key(Some(&pair.public_key))?;
    if sealed.is_some_and(|key| key.len() > LONGEST_KEY_BYTES) {
        return Err(too_long("private key"));
    }
    let hub = app.hub.clone();
    let work = move |conn: &mut Conn| {
        let change = (
            users::public_key.eq(pair.public_key),
            pair.sealed_private_key
                .map(|key| users::sealed_private_key.eq(key)),
        );
        diesel::update(users::table.find(user))
            .set(change)
            .execute(conn)?;
        Ok(())
    };
    app.db.write_then(work, move |()| hub.note_key(user)).await
}

/// Refuses a key that is too long, has NUL characters, or is an RSA key nobody should use:
/// not 2,048 to 8,192 bits, or with an exponent that is even or below 65,537.
pub fn check_public_key(key: Option<&str>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    if key.len() > LONGEST_KEY_BYTES {
        return Err(too_long("public_key"));
    }
    if key.contains('\0') {
        return Err(Error::invalid("public_key", "must not have NUL characters"));
    }
    let Some((bits, exponent)) = rsa_size(key) else {
        return Ok(());
    };
    if !(2_048..=8_192).contains(&bits) {
        return Err(Error::invalid(
            "public_key",
            format!("is an RSA key of {bits} bits; 2048 to 8192 are taken"),
        ));
    }
    let is_odd = &exponent % 2_u8 == BigUint::from(1_u8);
    if !is_odd || exponent < BigUint::from(65_537_u32) {
        return Err(Error::invalid(
            "public_key",
            "is an RSA key with a weak exponent; 65537 is usual",
        ));
    }
    Ok(())
}

fn check_text(field: &'static str, key: Option<&str>) -> Result<()> {
    match key {
        Some(key) if key.is_empty() || key.contains('\0') => {
            let problem = "must not be empty or have NUL characters";
            Err(Error::invalid(field, problem))
        }
        _ => Ok(()),
    }
}

fn too_long(field: &'static str) -> Error {
    Error::invalid(
        field,
        format!("must have at most {LONGEST_KEY_BYTES} bytes"),
    )
}

/// Bits and exponent, if the text is an RSA public key: PEM of either kind, or bare base64, with
/// its lines broken anywhere.
///
/// Taken apart by hand, since the library's own key type refuses to hold what has to be told here.
fn rsa_size(text: &str) -> Option<(usize, BigUint)> {
    let base64 = match text.split_once("-----BEGIN ") {
        Some((_, pem)) => pem.split_once("-----")?.1.split_once("-----END ")?.0,
        None => text,
    };
    let der = BASE64
        .decode(base64.split_whitespace().collect::<String>())
        .ok()?;
    let key = SubjectPublicKeyInfoRef::try_from(der.as_slice())
        .ok()
        .filter(|info| info.algorithm.oid == rsa::pkcs1::ALGORITHM_OID)
        .and_then(|info| info.subject_public_key.as_bytes())
        .unwrap_or(&der);
    let key = rsa::pkcs1::RsaPublicKey::try_from(key).ok()?;
    let modulus = BigUint::from_bytes_be(key.modulus.as_bytes());
    Some((
        modulus.bits(),
        BigUint::from_bytes_be(key.public_exponent.as_bytes()),
    ))
}
