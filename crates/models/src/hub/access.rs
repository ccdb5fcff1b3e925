//! The Hub as this machine may use it: its cache, and on what terms something is downloaded.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use attention_probes_errors::Stop;

use crate::hub::cache::{folder, kept_token};
use crate::hub::credentials::without_credentials;
use crate::hub::{HubCache, HubId, HubProxies, Token};

/// Where the Hub is, unless somebody says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// Variables that forbid downloads.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];

/// The Hub as this machine may use it: its cache, and on what terms something is downloaded.
///
/// Without the feature `hub`, nothing is ever downloaded.
#[derive(Clone, Debug)]
pub struct HubAccess {
    pub(super) cache: HubCache,
    /// Without the name and password that may stand in an address, so that no message has them.
    pub(super) endpoint: String,
    /// Name and password for the endpoint, `user:password`.
    pub(super) credentials: Option<Token>,
    pub(super) token: Option<Token>,
    pub(super) progress: Option<Arc<dyn DownloadProgress>>,
    pub(super) backoff: Duration,
    pub(super) stop: Stop,
    pub(super) proxies: HubProxies,
    pub(super) no_download: Option<NoDownload>,
}

/// Follows downloads.
pub trait DownloadProgress: fmt::Debug + Send + Sync {
    /// Of a file's `total` bytes, `done` are there.
    fn advance(&self, file: &str, done: u64, total: u64);

    /// A file has come to its end, whole or not.
    fn end(&self);
}

/// Why nothing is downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDownload {
    /// The feature `hub` is not built in.
    NotBuilt,
    /// A variable of the environment says so.
    Offline,
    /// The caller wants to know what is in the cache, and no more.
    CacheOnly,
}

impl HubAccess {
    /// The Hub at its own address, without a token.
    pub fn new(cache: HubCache) -> Self {
        let no_download = (!cfg!(feature = "hub")).then_some(NoDownload::NotBuilt);
        Self {
            cache,
            endpoint: ENDPOINT.to_owned(),
            credentials: None,
            token: None,
            progress: None,
            backoff: Duration::from_millis(500),
            stop: Stop::never(),
            proxies: HubProxies::default(),
            no_download,
        }
    }

    /// The Hub as the variables of the environment describe it, as `huggingface_hub` reads them.
    ///
    /// - the cache as [`HubCache::from_vars`] finds it; `None` without one
    /// - the token in `HF_TOKEN`, in the file `HF_TOKEN_PATH`, or in `$HF_HOME/token`
    /// - the address in `HF_ENDPOINT`
    /// - the proxies as [`HubProxies::from_vars`] finds them
    /// - no downloads if `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` is `1`, `ON`, `YES`, or `TRUE`
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let mut access = Self::new(HubCache::from_vars(&var)?);
        let kept = || match folder("HF_TOKEN_PATH", &var) {
            Some(file) => fs::read_to_string(file).ok(),
            None => kept_token(&var),
        };
        access.token =
            var("HF_TOKEN").as_deref().and_then(Token::new).or_else(|| Token::new(&kept()?));
        if let Some(endpoint) = var("HF_ENDPOINT").filter(|endpoint| !endpoint.trim().is_empty()) {
            access = access.with_endpoint(&endpoint);
        }
        access.proxies = HubProxies::from_vars(&var);
        let is_set = |value: String| ["1", "ON", "YES", "TRUE"].contains(&&*value.to_uppercase());
        if OFFLINE.iter().any(|name| var(name).is_some_and(is_set)) {
            access = access.without_downloads(NoDownload::Offline);
        }
        Some(access)
    }

    /// Another server that speaks as the Hub does.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: &str) -> Self {
        let (endpoint, credentials) = without_credentials(endpoint.trim());
        endpoint.trim_end_matches('/').clone_into(&mut self.endpoint);
        self.credentials = credentials.and_then(Token::new);
        self
    }

    /// The token that requests to the Hub carry, and those to no other server.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The proxies that requests go through. Default none.
    #[must_use]
    pub fn with_proxies(mut self, proxies: HubProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Tells somebody how downloads go on.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn DownloadProgress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// How long a request that failed waits before it is made again; each further time twice as
    /// long. Default half a second.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Ends downloads when a signal is given, which is asked for each 64 KiB and while a request
    /// waits to be made again; what has come is kept. Default never.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Downloads nothing, for a reason that errors name; an earlier reason stays.
    #[must_use]
    pub fn without_downloads(mut self, reason: NoDownload) -> Self {
        self.no_download.get_or_insert(reason);
        self
    }

    /// The cache.
    pub fn cache(&self) -> &HubCache {
        &self.cache
    }
}

impl NoDownload {
    /// What to do about it.
    pub(crate) fn remedy(self, id: &HubId) -> String {
        let command = id.download_command();
        match self {
            Self::NotBuilt => format!("download it with `{command}`, or build with feature `hub`"),
            Self::Offline => {
                let [hub, transformers] = OFFLINE;
                format!(
                    "nothing is downloaded because `{hub}` or `{transformers}` is set: unset it, \
                     or download it elsewhere with `{command}`"
                )
            }
            Self::CacheOnly => {
                format!("a run downloads it where it may, and so does `{command}`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_token_is_taken_from_the_variable_then_from_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(folder.path().join("token"), "home\n").unwrap();
        fs::write(folder.path().join("mine"), "mine\n").unwrap();
        let (home, mine) = (path(""), path("mine"));
        let token = |set: &[(&str, &str)]| HubAccess::from_vars(vars(set)).unwrap().token;
        let all = [("HF_TOKEN", "var"), ("HF_TOKEN_PATH", &mine), ("HF_HOME", &home)];
        assert_eq!(token(&all), Token::new("var"));
        assert_eq!(token(&all[1..]), Token::new("mine"));
        assert_eq!(token(&all[2..]), Token::new("home"));
        assert_eq!(token(&[("HF_TOKEN", " "), all[2]]), Token::new("home"));
        assert_eq!(token(&[("HF_HOME", "/nowhere")]), None);
    }

    #[test]
    fn offline_is_a_word_in_any_case() {
        let reason = |name: &str, value: &str| {
            let set = [("HF_HOME", "/hf"), (name, value)];
            HubAccess::from_vars(vars(&set)).unwrap().no_download
        };
        let not_built = (!cfg!(feature = "hub")).then_some(NoDownload::NotBuilt);
        for name in OFFLINE {
            for value in ["1", "on", "Yes", "TRUE"] {
                assert_eq!(reason(name, value), not_built.or(Some(NoDownload::Offline)));
            }
            for value in ["", "0", "off", "no"] {
                assert_eq!(reason(name, value), not_built);
            }
        }
    }

    #[test]
    fn the_proxies_are_those_of_the_variables() {
        let set = [("HF_HOME", "/hf"), ("https_proxy", "http://me:secret@proxy:3128")];
        let access = HubAccess::from_vars(vars(&set)).unwrap();
        let expected = HubProxies::default().with_https("http://me:secret@proxy:3128");
        assert_eq!(access.proxies, expected);
        assert!(!format!("{access:?}").contains("secret"), "{access:?}");
    }

    #[test]
    fn the_address_has_no_slash_at_its_end() {
        let set = [("HF_HOME", "/hf"), ("HF_ENDPOINT", "http://localhost:1/")];
        assert_eq!(HubAccess::from_vars(vars(&set)).unwrap().endpoint, "http://localhost:1");
    }

    #[test]
    fn a_password_in_the_address_is_never_shown() {
        for endpoint in ["http://me:secret@localhost:1/", "me:secret@host", "ftp://me:secret@h/a"] {
            let access = HubAccess::new(HubCache::new("/hf")).with_endpoint(endpoint);
            assert_eq!(access.credentials, Token::new("me:secret"));
            assert!(!format!("{access:?}").contains("secret"), "{access:?}");
        }
    }
}
