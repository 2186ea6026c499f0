//! What can go wrong in the agent, in the words its page shows.
//!
//! It does not choose HTTP statuses: `routes` does, in one exhaustive match.

use std::path::PathBuf;

/// The agent's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything the agent refuses or fails at.
///
/// Texts that reach a person are in Chinese, as the published client's are; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be meant: which part is wrong.
    #[error("{0}")]
    Invalid(&'static str),
    /// The server said no; its own words.
    #[error("{0}")]
    Refused(String),
    /// The server cannot answer now; its own words.
    #[error("{0}")]
    Busy(String),
    /// Logins have failed too often for another one now; the server's own words.
    #[error("{0}")]
    Throttled(String),
    /// The server no longer takes the token; a new one comes with the next login.
    #[error("登录已过期")]
    TokenRefused,
    /// The server did not answer, or not in the way of the published API.
    #[error("无法连接服务器")]
    Unreachable,
    /// The keys on this machine do not open with this password.
    #[error("本地密钥无法用此密码打开；若密码已在别处更改，请同时提供旧密码 (old_password)")]
    LockedKeys,
    /// A file of the key store is not what the agent wrote.
    #[error("本地密钥库已损坏：{}", .0.display())]
    Corrupt(PathBuf),
    /// The same of what is known of peers. It is not put aside by itself, as what can be had again
    /// is: without it any key that is shown would be pinned.
    #[error(
        "本地密钥库已损坏：{}；移走此文件后即可登录，但已固定的对方公钥会丢失，请与对方重新核对指纹",
        .0.display()
    )]
    CorruptPeers(PathBuf),
    /// There is no link, or no key the message could be sealed with.
    #[error("发送失败: 客户端未就绪")]
    NotReady,
    /// The receiver has stored no key that a message could be sealed with.
    #[error("发送失败: 对方没有可用的公钥")]
    NoKey,
    /// A file could not be read or written.
    #[error("本地文件错误")]
    Io(#[from] std::io::Error),
    /// The agent cannot start with these settings.
    #[error("{0}")]
    Start(String),
}

impl Error {
    /// The same of the file of what is known of peers.
    pub(super) fn of_peers(self) -> Self {
        match self {
            Self::Corrupt(path) => Self::CorruptPeers(path),
            other => other,
        }
    }
}
