//! The server's own RSA key pair, which vouches for its users' public keys and does nothing else.
//!
//! Nothing is ever decrypted with it: the library's private operations are not proof against
//! timing, so they are blinded here and see only digests of what anybody may know. Knows no file:
//! `data_dir` keeps the key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use quick_cache::sync::Cache;
use rand::rngs::OsRng;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The size of a new key; also the least that is taken from the file.
const BITS: usize = 2_048;

/// How many signatures are kept; each takes some 400 bytes.
const KEPT_SIGNATURES: usize = 20_000;

/// Signs public keys. `Debug` is not there on purpose.
pub struct Signer {
    key: RsaPrivateKey,
    public_pem: String,
    fingerprint: String,
    /// Signatures by the digest that is signed.
    kept: Cache<[u8; 32], String>,
}

impl Signer {
    /// A new private key, PKCS#8 PEM. Takes some tenths of a second.
    pub(crate) fn new_key() -> Result<String> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(|cause| failed(&cause))?;
        let pem = key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|cause| failed(&cause))?;
        Ok(pem.to_string())
    }

    /// Takes a private key, PKCS#8 PEM. Errors: text that is none, or a key that is too short.
    pub(crate) fn from_pem(pem: &str) -> Result<Signer> {
        let key = RsaPrivateKey::from_pkcs8_pem(pem);
        let key = key.map_err(|cause| {
            Error::Internal(format!("it holds no RSA key in PKCS#8 PEM ({cause})"))
        })?;
        if key.n().bits() < BITS {
            return Err(failed(&"the key has less than 2048 bits"));
        }
        let public = key.to_public_key();
        let public_pem = public
            .to_public_key_pem(LineEnding::LF)
            .map_err(|cause| failed(&cause))?;
        let der = public.to_public_key_der().map_err(|cause| failed(&cause))?;
        let fingerprint = format!("{:x}", Sha256::digest(der.as_bytes()));
        Ok(Signer {
            key,
            public_pem,
            fingerprint,
            kept: Cache::new(KEPT_SIGNATURES),
        })
    }

    /// The public half: PEM `SubjectPublicKeyInfo`.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// What people compare: SHA-256 of the public half's DER, lower-case hex.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The signature over the bytes of `text`: PKCS#1 v1.5 with SHA-256, in base64.
    ///
    /// Computed once for each text, in about a millisecond: not on an async thread.
    pub fn sign(&self, text: &str) -> Result<String> {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some(signature) = self.kept.get(&digest) {
            return Ok(signature);
        }
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        let signature = self.key.sign_with_rng(&mut OsRng, scheme, &digest);
        let signature = BASE64.encode(signature.map_err(|cause| failed(&cause))?);
        self.kept.insert(digest, signature.clone());
        Ok(signature)
    }
}

fn failed(cause: &impl std::fmt::Display) -> Error {
    Error::Internal(format!("rsa: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::RsaPublicKey;
    use rsa::pkcs8::DecodePublicKey;

    #[test]
    fn a_signature_holds_under_the_public_half_and_is_always_the_same() {
        let pem = Signer::new_key().expect("a key");
        let (signer, again) = (Signer::from_pem(&pem), Signer::from_pem(&pem));
        let (signer, again) = (signer.expect("it reads"), again.expect("it reads"));
        assert_eq!(again.fingerprint(), signer.fingerprint());

        let signature = signer.sign("a key").expect("it signs");
        assert_eq!(again.sign("a key").expect("it signs"), signature);
        assert_eq!(signer.sign("a key").expect("it is kept"), signature);
        assert_ne!(signer.sign("another").expect("it signs"), signature);
        let public = RsaPublicKey::from_public_key_pem(signer.public_pem()).expect("PEM");
        let signature = BASE64.decode(signature).expect("base64");
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        assert!(
            public
                .verify(scheme, &Sha256::digest("a key"), &signature)
                .is_ok()
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(Signer::from_pem("not a key").is_err());
    }
}
