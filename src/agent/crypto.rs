//! What the agent computes with keys: pure functions.
//!
//! It knows no file, no network and no user. Formats are those of the published clients:
//! AES-256-GCM as base64(IV 12 | ciphertext | tag 16) without associated data, AES keys under
//! RSA PKCS#1 v1.5, public keys as PEM `SubjectPublicKeyInfo`.

use std::fmt;

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngCore;
use rand::rngs::OsRng;
use rsa::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Encrypt, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};

/// The size of new RSA keys, and the least that is accepted of others.
const RSA_BITS: usize = 2048;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// A 32-byte AES key. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AesKey([u8; KEY_BYTES]);

impl AesKey {
    /// A new random key.
    pub(super) fn generate() -> Self {
        let mut bytes = [0; KEY_BYTES];
        OsRng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The key of exactly 32 bytes, or nothing.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The key from its base64, as the key store keeps it.
    pub(super) fn from_base64(text: &str) -> Option<Self> {
        Self::from_bytes(&BASE64_STANDARD.decode(text).ok()?)
    }

    /// The key in base64, for the sealed key store only.
    pub(super) fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesKey(…)")
    }
}

/// Seals `plain` under `key` with a fresh random IV: base64(IV | ciphertext | tag).
pub(super) fn seal(key: &AesKey, plain: &[u8]) -> String {
    let mut iv = [0; IV_BYTES];
    OsRng.fill_bytes(&mut iv);
    let mut sealed = Vec::with_capacity(IV_BYTES + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&iv);
    sealed.extend_from_slice(plain);
    let tag = key
        .cipher()
        .encrypt_in_place_detached(&iv.into(), b"", &mut sealed[IV_BYTES..])
        .expect("AES-GCM refuses only messages of 64 GiB and more");
    sealed.extend_from_slice(&tag);
    BASE64_STANDARD.encode(sealed)
}

/// What [`seal`] sealed, or nothing if the text is malformed or does not authenticate.
pub(super) fn open(key: &AesKey, sealed: &str) -> Option<Vec<u8>> {
    Sealed::from_base64(sealed).open(key)
}

/// A sealed text out of its base64, for as many keys as are tried on it.
pub(super) struct Sealed(Vec<u8>);

impl Sealed {
    /// No key opens what is malformed.
    pub(super) fn from_base64(text: &str) -> Self {
        Self(BASE64_STANDARD.decode(text).unwrap_or_default())
    }

    /// The bytes that each key has to authenticate.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What was sealed, or nothing if it does not authenticate under `key`.
    pub(super) fn open(&self, key: &AesKey) -> Option<Vec<u8>> {
        let (iv, rest) = self.0.split_first_chunk::<IV_BYTES>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut plain = body.to_vec();
        let cipher = key.cipher();
        cipher
            .decrypt_in_place_detached(iv.into(), b"", &mut plain, tag.into())
            .ok()?;
        Some(plain)
    }
}

/// A user's own RSA key. `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct PrivateKey(RsaPrivateKey);

impl PrivateKey {
    /// A new key of 2,048 bits; takes a tenth of a second or so, so never on an async thread.
    pub(super) fn generate() -> Self {
        Self(RsaPrivateKey::new(&mut OsRng, RSA_BITS).expect("2,048 is a possible size"))
    }

    /// The key from PKCS#8 DER, or nothing.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        RsaPrivateKey::from_pkcs8_der(der).ok().map(Self)
    }

    /// The key as PKCS#8 DER, to be sealed at once.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let der = self.0.to_pkcs8_der().expect("a valid key has a DER form");
        der.as_bytes().to_vec()
    }

    /// The public half.
    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.0.to_public_key())
    }

    /// The AES key in `wrapped`, or nothing: every failure looks alike to the caller.
    ///
    /// The operation is blinded, and only keys of 32 bytes are accepted.
    pub(super) fn unwrap_key(&self, wrapped: &str) -> Option<AesKey> {
        let bytes = BASE64_STANDARD.decode(wrapped).ok()?;
        let key = self.0.decrypt_blinded(&mut OsRng, Pkcs1v15Encrypt, &bytes);
        AesKey::from_bytes(&key.ok()?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Somebody's RSA public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey(RsaPublicKey);

impl PublicKey {
    /// The key from PEM `SubjectPublicKeyInfo`, or nothing; under 2,048 bits counts as nothing.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        let key = RsaPublicKey::from_public_key_pem(pem.trim()).ok()?;
        (key.n().bits() >= RSA_BITS).then_some(Self(key))
    }

    /// The key as PEM `SubjectPublicKeyInfo`.
    pub(super) fn to_pem(&self) -> String {
        let pem = self.0.to_public_key_pem(LineEnding::LF);
        pem.expect("a valid key has a PEM form")
    }

    /// SHA-256 in hex of the DER `SubjectPublicKeyInfo`: what people compare.
    pub(super) fn fingerprint(&self) -> String {
        let der = self.0.to_public_key_der();
        hex(&Sha256::digest(
            der.expect("a valid key has a DER form").as_bytes(),
        ))
    }

    /// Wraps `key` for the owner of this public key, in base64.
    pub(super) fn wrap_key(&self, key: &AesKey) -> String {
        let wrapped = self.0.encrypt(&mut OsRng, Pkcs1v15Encrypt, &key.0);
        BASE64_STANDARD.encode(wrapped.expect("32 bytes fit into any accepted RSA key"))
    }

    /// Whether `signature` (base64, PKCS#1 v1.5, SHA-256) is this key's over the bytes of `text`.
    pub(super) fn verifies(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(signature) else {
            return false;
        };
        let digest = Sha256::digest(text.as_bytes());
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        self.0.verify(scheme, &digest, &signature).is_ok()
    }
}

/// The fingerprint of a PEM text, or nothing if it is no acceptable public key.
pub(super) fn fingerprint(pem: &str) -> Option<String> {
    PublicKey::from_pem(pem).map(|key| key.fingerprint())
}

/// What the derivation of a key from a password costs, kept beside what it seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct KdfCost {
    /// Memory in KiB.
    pub(super) memory_kib: u32,
    /// Passes over it.
    pub(super) passes: u32,
    /// Parallel lanes.
    pub(super) lanes: u32,
}

impl KdfCost {
    /// For new files: a quarter of a second at most, far beyond the least that is advised,
    /// because a stolen disk can be tried at leisure.
    pub(super) const NEW: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
}

/// The key that `password` gives by Argon2id with this salt and cost; nothing if no such cost or
/// salt can be.
pub(super) fn derive(password: &str, salt: &[u8], cost: KdfCost) -> Option<AesKey> {
    let KdfCost {
        memory_kib,
        passes,
        lanes,
    } = cost;
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).ok()?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0; KEY_BYTES];
    argon
        .hash_password_into(password.as_bytes(), salt, &mut key)
        .ok()?;
    Some(AesKey(key))
}

/// Sixteen random bytes.
pub(super) fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    OsRng.fill_bytes(&mut salt);
    salt
}

/// SHA-256 of `text` in hex: a name that is safe for a file whatever the text is.
pub(super) fn safe_name(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
            .collect()
    }

    /// NIST's GCM test cases for 256-bit keys without associated data (13 to 15 of the specification).
    #[test]
    fn aes_gcm_opens_the_published_vectors() {
        let check = |key: &str, iv: &str, plain: &str, sealed: &str, tag: &str| {
            let key = AesKey::from_bytes(&unhex(key)).expect("32 bytes");
            let whole = [unhex(iv), unhex(sealed), unhex(tag)].concat();
            let opened = open(&key, &BASE64_STANDARD.encode(&whole));
            assert_eq!(opened, Some(unhex(plain)));
            for at in 0..whole.len() {
                let mut bent = whole.clone();
                bent[at] ^= 1;
                assert_eq!(open(&key, &BASE64_STANDARD.encode(bent)), None);
            }
        };
        let zero_key = "00".repeat(32);
        let zero_iv = "00".repeat(12);
        check(
            &zero_key,
            &zero_iv,
            "",
            "",
            "530f8afbc74536b9a963b4f1c4cb738b",
        );
        check(
            &zero_key,
            &zero_iv,
            &"00".repeat(16),
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        );
        check(
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
            "b094dac5d93471bdec1a502270e3cc6c",
        );
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_alone_and_never_looks_the_same_twice() {
        let key = AesKey::generate();
        for text in ["", "a", "你好", &"x".repeat(100_000)] {
            let sealed = seal(&key, text.as_bytes());
            assert_eq!(open(&key, &sealed), Some(text.as_bytes().to_vec()));
            assert_eq!(open(&AesKey::generate(), &sealed), None);
            assert_ne!(seal(&key, text.as_bytes()), sealed);
        }
        for broken in ["", "AAAA", "not base64!", "AAAAAAAAAAAAAAAA"] {
            assert_eq!(open(&key, broken), None);
        }
    }

    #[test]
    fn only_32_byte_keys_come_out_of_a_wrap_and_every_failure_is_alike() {
        let private = PrivateKey::generate();
        let public = private.public();
        let key = AesKey::generate();
        assert_eq!(private.unwrap_key(&public.wrap_key(&key)), Some(key));
        for length in [0, 16, 31, 33, 48] {
            let wrapped = public
                .0
                .encrypt(&mut OsRng, Pkcs1v15Encrypt, &vec![7; length]);
            let wrapped = BASE64_STANDARD.encode(wrapped.expect("short enough"));
            assert_eq!(private.unwrap_key(&wrapped), None);
        }
        let strangers = PrivateKey::generate()
            .public()
            .wrap_key(&AesKey::generate());
        for broken in [strangers.as_str(), "", "AAAA", "*"] {
            assert_eq!(private.unwrap_key(broken), None);
        }
    }

    #[test]
    fn a_key_survives_its_pem_and_der_and_signs_for_its_public_half() {
        let private = PrivateKey::generate();
        let pem = private.public().to_pem();
        let again = PrivateKey::from_der(&private.to_der()).expect("own DER");
        assert_eq!(again.public().to_pem(), pem);
        assert_eq!(
            fingerprint(&format!("{pem}\n")),
            Some(again.public().fingerprint())
        );

        let digest = Sha256::digest(pem.as_bytes());
        let signature = private.0.sign(Pkcs1v15Sign::new::<Sha256>(), &digest);
        let signature = BASE64_STANDARD.encode(signature.expect("a signature"));
        assert!(private.public().verifies(&pem, &signature));
        assert!(!private.public().verifies("another text", &signature));
        assert!(!PrivateKey::generate().public().verifies(&pem, &signature));
        assert!(!private.public().verifies(&pem, ""));
    }

    #[test]
    fn short_rsa_keys_are_not_accepted() {
        let short = RsaPrivateKey::new(&mut OsRng, 1024).expect("a key");
        let pem = PublicKey(short.to_public_key()).to_pem();
        assert_eq!(PublicKey::from_pem(&pem), None);
    }

    /// The reference implementation's own test: two passes over 64 MiB.
    #[test]
    fn argon2id_derives_the_published_key() {
        let cost = KdfCost {
            memory_kib: 65_536,
            passes: 2,
            lanes: 1,
        };
        let key = derive("password", b"somesalt", cost).expect("a possible cost");
        let published = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        assert_eq!(key.0.to_vec(), unhex(published));
    }
}
