//! Showing others a key to write to, where the server has none of a user that agents can seal for:
//! their account was made through another API.
//!
//! What may be a key is never replaced here: others may have pinned it, or another client may have
//! its other half.

use super::Agent;
use super::crypto::PublicKey;
use super::error::Result;
use super::keyring::Keyring;
use super::relay::Login;

impl Agent {
    /// Publishes the key in `keyring` if the server shows no usable one for the user who has just
    /// logged in. Who cannot be written to can still log in: a failure goes to the log, and the next
    /// login tries again.
    pub(super) async fn publish_missing_key(&self, login: &Login, keyring: &Keyring) {
        if let Err(error) = self.try_publish(login, keyring).await {
            tracing::warn!(
                user = login.id,
                %error,
                "the server shows no key of this user, and theirs could not be published: nobody \
                 can write to them"
            );
        }
    }

    async fn try_publish(&self, login: &Login, keyring: &Keyring) -> Result<()> {
        let Some(shown) = self.shown_text(login).await? else {
            // The server may show one all the same.
            return Ok(());
        };
        if PublicKey::from_pem(&shown).is_some() {
            return Ok(());
        }
        if may_be_a_key(&shown) {
            let user = login.id;
            tracing::warn!(
                user,
                "the user's key is another client's: no agent can seal for it"
            );
            return Ok(());
        }
        let pem = keyring.private().public().to_pem();
        self.server.relay.publish_key(&login.token, &pem).await?;
        tracing::info!(user = login.id, "the user's key is published");
        Ok(())
    }
}

/// Whether a text may be a key of any client's: PEM, or 32 bytes or more in base64 or hexadecimal.
fn may_be_a_key(text: &str) -> bool {
    let is_encoded = |word: &str| {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
        word.len() >= 43 && word.bytes().all(is_digit)
    };
    text.contains("-----BEGIN") || text.split_whitespace().any(is_encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_client_may_have_the_other_half_of_is_a_key() {
        let base64 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        for key in [
            base64,
            &format!("ssh-ed25519 {base64} anna@home"),
            &format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----"),
            &"0f".repeat(32),
        ] {
            assert!(may_be_a_key(key), "{key}");
        }
        for none in [
            "",
            "PK",
            "your_public_key",
            "a public key of alice's",
            &"钥".repeat(50),
        ] {
            assert!(!may_be_a_key(none), "{none}");
        }
    }
}
