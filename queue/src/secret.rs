//! The shared secret, and the proofs by which both sides of a connection show that they know it without sending it.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A shorter secret can be guessed.
const BYTES_MIN: usize = 16;

/// Bytes of a nonce.
pub(crate) const NONCE: usize = 32;
/// Bytes of a proof.
pub(crate) const PROOF: usize = 32;

/// What both sides know. Never printed.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// A file that holds no usable secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can't be read.
    #[error("can't read the secret file {path}: {source}; check that it exists and that this user may read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too short to be secret.
    #[error(
        "the secret in {path} has {bytes} bytes, at least {BYTES_MIN} are needed; try `openssl rand -hex 32 > {path}`"
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length without white space around it.
        bytes: usize,
    },
}

/// Who makes a proof: each side's differs, so that neither can send the other's back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Secret {
    /// Reads a secret from a file; white space around it does not count.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Secret, SecretError> {
        let path = path.as_ref();
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let secret = bytes.trim_ascii();
        if secret.len() < BYTES_MIN {
            return Err(SecretError::TooShort { path: path.to_owned(), bytes: secret.len() });
        }
        Ok(Secret(secret.to_vec()))
    }

    fn mac(&self, role: Role, server: &[u8; NONCE], client: &[u8; NONCE]) -> Hmac<Sha256> {
        // HMAC takes keys of every length.
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key");
        mac.update(match role {
            Role::Client => b"copydesk queue client",
            Role::Server => b"copydesk queue server",
        });
        mac.update(server);
        mac.update(client);
        mac
    }
}

/// The proof that `role` knows the secret; zeros if there is none.
pub(crate) fn proof(secret: Option<&Secret>, role: Role, server: &[u8; NONCE], client: &[u8; NONCE]) -> [u8; PROOF] {
    match secret {
        Some(secret) => secret.mac(role, server, client).finalize().into_bytes().into(),
        None => [0; PROOF],
    }
}

/// Whether `proof` is the one that `role` must give. Takes the same time wherever a wrong one differs. Without a
/// secret on this side nothing is asked of the other.
pub(crate) fn verify(
    secret: Option<&Secret>,
    role: Role,
    server: &[u8; NONCE],
    client: &[u8; NONCE],
    proof: &[u8],
) -> bool {
    secret.is_none_or(|secret| secret.mac(role, server, client).verify_slice(proof).is_ok())
}

/// A number nobody can foresee.
pub(crate) fn nonce() -> std::io::Result<[u8; NONCE]> {
    let mut nonce = [0; NONCE];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(nonce)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Secret, SecretError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Secret::from_file(&path)
    }

    #[test]
    fn a_short_or_empty_secret_is_refused() {
        assert!(secret("").is_err());
        assert!(secret("  fifteen bytes..\n").is_err());
        assert!(secret(" sixteen bytes...\n").is_ok());
        assert!(Secret::from_file("/nonexistent").unwrap_err().to_string().contains("/nonexistent"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert!(!format!("{:?}", secret("correct horse battery").unwrap()).contains("horse"));
    }

    #[test]
    fn only_the_same_secret_role_and_nonces_verify() {
        let (right, wrong) = (secret("correct horse battery").unwrap(), secret("another horse battery").unwrap());
        let (server, client) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(server, client);
        let given = proof(Some(&right), Role::Client, &server, &client);
        assert!(verify(Some(&right), Role::Client, &server, &client, &given));
        assert!(!verify(Some(&wrong), Role::Client, &server, &client, &given));
        assert!(!verify(Some(&right), Role::Server, &server, &client, &given));
        assert!(!verify(Some(&right), Role::Client, &client, &server, &given));
        assert!(!verify(Some(&right), Role::Client, &server, &client, &[0; PROOF]));
    }
}
