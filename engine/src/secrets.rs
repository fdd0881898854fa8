//! What the user of a build keeps from everybody else.
//!
//! A secret is in the memory of this process, of the step that mounts it, and nowhere else: `Debug` does not show it, it is
//! in no error, and what a step writes goes through a [`crate::redact::Redactor`] before anybody sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Most bytes that a secret can have, as in BuildKit.
pub const SECRET_BYTES_MAX: usize = 500 << 10;

/// The bytes of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

/// Why some bytes are no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("larger than {SECRET_BYTES_MAX} bytes")]
pub struct SecretTooLarge;

impl Secret {
    /// A secret of at most [`SECRET_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// When it is larger.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretTooLarge> {
        if bytes.len() > SECRET_BYTES_MAX { Err(SecretTooLarge) } else { Ok(Self(bytes.into())) }
    }

    /// The bytes themselves, for those who mount them, or send them to who does.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// The secrets of a build, by their ids.
pub type Secrets = BTreeMap<String, Secret>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_themselves() {
        let secret = Secret::new(b"hunter2".to_vec()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.bytes(), b"hunter2");
    }

    #[test]
    fn secrets_have_a_limit() {
        assert!(Secret::new(vec![0; SECRET_BYTES_MAX]).is_ok());
        assert_eq!(Secret::new(vec![0; SECRET_BYTES_MAX + 1]), Err(SecretTooLarge));
    }
}
