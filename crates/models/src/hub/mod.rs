//! The Hub: names of repositories, the cache that Hugging Face's programs share, and the download
//! of what the cache lacks.
//!
//! Nothing here reads the environment: the caller hands the variables over. Nothing is sent without
//! the feature `hub`, the only code of this project that uses the network.

mod access;
mod address;
mod cache;
#[cfg(feature = "hub")]
mod client;
mod credentials;
#[cfg(feature = "hub")]
mod download;
mod error;
mod id;
mod listing;
mod lookup;
mod model;
mod other_names;
#[cfg(feature = "hub")]
mod pace;
mod proxies;
#[cfg(feature = "hub")]
mod reply;
mod token;
#[cfg(feature = "hub")]
mod url;

pub use access::{DownloadProgress, HubAccess, NoDownload};
pub use address::HubAddress;
pub use cache::HubCache;
pub use error::HubError;
pub use id::HubId;
pub(crate) use id::RepoKind;
pub(crate) use other_names::repository;
pub use proxies::HubProxies;
pub use token::Token;
