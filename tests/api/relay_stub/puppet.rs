//! Somebody who is no agent: whatever a peer may do, done by the test.

use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};

use super::{Relay, new_key, pem};

/// Somebody who is no agent, played by the test.
#[derive(Clone)]
pub(crate) struct Puppet {
    pub(crate) id: i64,
    pub(super) key: RsaPrivateKey,
    pub(super) relay: Relay,
}

impl Puppet {
    /// Sends a key frame with `key` wrapped for the agent's user `to`.
    pub(crate) fn offer(&self, to: i64, key: [u8; 32]) {
        let wrapped = self.relay.wrap_for(to, key);
        self.send(to, "", &wrapped);
    }

    /// Sends a message sealed under `key`, with or without the key itself.
    pub(crate) fn write(&self, to: i64, text: &str, key: [u8; 32], attach: bool) {
        let wrapped = if attach {
            self.relay.wrap_for(to, key)
        } else {
            String::new()
        };
        self.send(to, &seal(key, text), &wrapped);
    }

    /// Sends a message at the moment when somebody asks what they missed.
    pub(crate) fn write_at_next_look(&self, to: i64, text: &str, key: [u8; 32]) {
        let wrapped = self.relay.wrap_for(to, key);
        let frame = self.frame(to, &seal(key, text), &wrapped);
        self.relay.send_at_next_look(self.id, &frame);
    }

    /// Sends a frame as it stands.
    pub(crate) fn send(&self, to: i64, message: &str, wrapped: &str) {
        let frame = self.frame(to, message, wrapped);
        self.relay.inner().take(self.id, &frame.to_string());
    }

    fn frame(&self, to: i64, message: &str, wrapped: &str) -> Value {
        json!({"fromId": self.id, "toId": to, "message": message, "aesKey": wrapped})
    }

    /// The AES key of a frame that was sent to this puppet.
    pub(crate) fn unwrap_key(&self, frame: &Value) -> [u8; 32] {
        let wrapped = frame["aesKey"].as_str().expect("a key");
        let wrapped = BASE64_STANDARD.decode(wrapped).expect("base64");
        let key = self.key.decrypt(Pkcs1v15Encrypt, &wrapped);
        key.expect("wrapped for us").try_into().expect("32 bytes")
    }

    /// What a message frame says.
    pub(crate) fn open(&self, frame: &Value) -> String {
        open(
            self.unwrap_key(frame),
            frame["message"].as_str().expect("a message"),
        )
    }

    /// The puppet goes away or comes back.
    pub(crate) fn set_online(&self, online: bool) {
        let mut inner = self.relay.inner();
        inner.puppets.retain(|id| *id != self.id);
        if online {
            inner.puppets.push(self.id);
        }
        inner.tell_roster();
    }

    /// The puppet comes with another key pair, signed by the server like the first.
    pub(crate) fn change_key(&mut self) {
        self.key = new_key();
        let public_key = pem(&self.key);
        let mut inner = self.relay.inner();
        let mut users = inner.users.values_mut();
        let user = users.find(|user| user.id == self.id).expect("a user");
        user.public_key = public_key;
        inner.tell_roster();
    }
}

impl Relay {
    fn wrap_for(&self, user: i64, key: [u8; 32]) -> String {
        let inner = self.inner();
        let mut users = inner.users.values();
        let user = users.find(|known| known.id == user).expect("a user");
        let public = RsaPublicKey::from_public_key_pem(&user.public_key).expect("PEM");
        let wrapped = public.encrypt(&mut rand::rngs::OsRng, Pkcs1v15Encrypt, &key);
        BASE64_STANDARD.encode(wrapped.expect("wrapped"))
    }
}

/// base64(IV | ciphertext | tag), as peers do it.
pub(crate) fn seal(key: [u8; 32], text: &str) -> String {
    let iv: [u8; 12] = rand::random();
    let sealed = Aes256Gcm::new(&key.into()).encrypt(&iv.into(), text.as_bytes());
    BASE64_STANDARD.encode([iv.to_vec(), sealed.expect("sealed")].concat())
}

fn open(key: [u8; 32], sealed: &str) -> String {
    let bytes = BASE64_STANDARD.decode(sealed).expect("base64");
    let (iv, body) = bytes.split_at(12);
    let plain = Aes256Gcm::new(&key.into()).decrypt(iv.into(), body);
    String::from_utf8(plain.expect("opens")).expect("text")
}
