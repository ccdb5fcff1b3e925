//! Requests to the Hub: redirects, timeouts, and a token that no other server sees.

use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use attention_probes_errors::Stopped;
use serde::Deserialize;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION, RANGE};
use ureq::http::{HeaderValue, Method, Request, Response};
use ureq::{Agent, Body, Proxy, ProxyProtocol};

use crate::ModelError;
use crate::hub::credentials::{with_credentials, without_credentials};
use crate::hub::id::is_commit;
use crate::hub::listing::checked;
use crate::hub::pace::Paced;
use crate::hub::reply::{FileHead, HeadParts, refusal, text};
use crate::hub::{HubAccess, HubError, HubId, url};

/// How often a request is made that keeps failing.
pub(super) const ATTEMPTS: u32 = 4;

/// Redirects that are followed; the Hub needs two.
const MAX_REDIRECTS: usize = 5;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long nothing may come.
pub(super) const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest pause that a server may ask for; after a longer one a person had better come back.
const MAX_PAUSE: Duration = Duration::from_mins(2);

/// How often a pause asks whether to stop.
pub(super) const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// Longest list of files that is read.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// What the Hub says about a revision of a repository.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Makes requests for a [`HubAccess`].
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) access: &'a HubAccess,
    agent: Agent,
    /// Those of `https` and of `http`.
    proxies: [Option<Proxy>; 2],
    authorization: Option<HeaderValue>,
}

impl<'a> Client<'a> {
    /// Checks address, token, and proxies; sends nothing.
    ///
    /// # Errors
    ///
    /// [`HubError::Endpoint`], [`HubError::Token`], or [`HubError::Proxy`] if no request can be made
    /// of them.
    pub(super) fn new(access: &'a HubAccess) -> Result<Self, ModelError> {
        let endpoint = || HubError::Endpoint { endpoint: access.endpoint.clone() };
        url::origin(&access.endpoint).ok_or_else(endpoint)?;
        let authorization = match &access.token {
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                    .map_err(|_| HubError::Token)?; // its cause would show the token
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let [https, http] = access.proxies.by_scheme();
        let proxies = [https.map(parse_proxy).transpose()?, http.map(parse_proxy).transpose()?];
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // What ureq finds by itself, it finds in the environment. Each request has its own.
            .proxy(None)
            .user_agent(concat!("attention-probes/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(READ_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .timeout_per_write(Some(READ_TIMEOUT))
            .build();
        Ok(Self { access, agent: config.new_agent(), proxies, authorization })
    }

    /// What the Hub says about a file.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::model`].
    pub(super) fn head(
        &self,
        id: &HubId,
        revision: &str,
        file: &str,
    ) -> Result<FileHead, ModelError> {
        let url = url::file(&self.access.endpoint, id, revision, file);
        self.retry(|| {
            let mut parts = HeadParts::default();
            let response = self.send(&Method::HEAD, &url, 0, |reply| {
                parts.add(reply.status(), reply.headers());
            })?;
            let status = response.status();
            if !status.is_success() && !status.is_redirection() {
                let headers = response.headers();
                return Err(refusal(self.access, id, Some(file), &url, status, headers).into());
            }
            parts.finish(&url)
        })
    }

    /// The commit of a revision, and the files that it has.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::files`].
    pub(super) fn listing(
        &self,
        id: &HubId,
        revision: &str,
    ) -> Result<(String, Vec<String>), ModelError> {
        let url = url::listing(&self.access.endpoint, id, revision);
        let refuse =
            || ModelError::from(HubError::Reply { url: url.clone(), fault: "is no list of files" });
        let listing: Listing = self.retry(|| {
            let mut reply = self.send(&Method::GET, &url, 0, |_| ())?;
            let status = reply.status();
            if !status.is_success() {
                return Err(refusal(self.access, id, None, &url, status, reply.headers()).into());
            }
            let reader = reply.body_mut().with_config().limit(MAX_LISTING_BYTES).reader();
            let mut body = Vec::new();
            Paced::new(reader, READ_TIMEOUT)
                .read_to_end(&mut body)
                .map_err(|error| connection(&url, ureq::Error::from(error)))?;
            serde_json::from_slice(&body).map_err(|_| refuse())
        })?;
        let files = listing.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        match (is_commit(&listing.sha), checked(files)) {
            (true, Some(files)) => Ok((listing.sha, files)),
            _ => Err(refuse()),
        }
    }

    /// The content of a file from a byte on, wherever the Hub keeps it.
    ///
    /// # Errors
    ///
    /// As [`HubAccess::model`].
    pub(super) fn get(&self, url: &str, from_byte: u64) -> Result<Response<Body>, ModelError> {
        self.send(&Method::GET, url, from_byte, |_| ())
    }

    /// Repeats what fails for a reason that may pass.
    ///
    /// # Errors
    ///
    /// The last error.
    pub(super) fn retry<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let mut n_failed = 0;
        loop {
            match attempt() {
                Err(error) if is_passing(&error) && n_failed + 1 < ATTEMPTS => {
                    n_failed += 1;
                    self.pause(n_failed, &error)?;
                }
                result => return result,
            }
        }
    }

    /// Waits longer with each failure, and as long as the server asks for.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if that is asked for meanwhile.
    pub(super) fn pause(&self, n_failed: u32, error: &ModelError) -> Result<(), Stopped> {
        let own = self.access.backoff * 2_u32.saturating_pow(n_failed.saturating_sub(1));
        let end = Instant::now() + own.max(asked_pause(error).unwrap_or_default());
        loop {
            self.access.stop.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(STOP_INTERVAL));
        }
    }

    /// The proxy for an address.
    fn proxy(&self, url: &str) -> Option<Proxy> {
        let (scheme, host) = url::origin(url)?.split_once("://")?;
        let [https, http] = &self.proxies;
        let proxy = if scheme == "https" { https } else { http };
        proxy.clone().filter(|_| !self.access.proxies.is_direct(host))
    }

    /// Sends a request and follows redirects, showing every reply to `see`.
    ///
    /// A question about a file stays with the Hub, whose reply says more than that of the server
    /// where the content lies.
    fn send(
        &self,
        method: &Method,
        url: &str,
        from_byte: u64,
        mut see: impl FnMut(&Response<Body>),
    ) -> Result<Response<Body>, ModelError> {
        let refuse = |fault| ModelError::from(HubError::Reply { url: url.to_owned(), fault });
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let is_hub = url::origin(&at) == url::origin(&self.access.endpoint);
            let credentials = self.access.credentials.as_ref().filter(|_| is_hub);
            let mut request = Request::builder().method(method);
            request = match credentials {
                Some(own) => request.uri(with_credentials(&at, own.reveal())),
                None => request.uri(&at),
            };
            // Lengths and parts are those of the content itself.
            request = request.header(ACCEPT_ENCODING, "identity");
            if from_byte > 0 {
                request = request.header(RANGE, format!("bytes={from_byte}-"));
            }
            if let (true, Some(authorization)) = (is_hub, &self.authorization) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let request =
                request.body(()).map_err(|_| refuse("leads to an address that is none"))?;
            let request = self.agent.configure_request(request).proxy(self.proxy(&at)).build();
            let reply = self.agent.run(request).map_err(|error| connection(url, error))?;
            see(&reply);
            if !reply.status().is_redirection() {
                return Ok(reply);
            }
            let next = text(reply.headers(), LOCATION.as_str())
                .and_then(|location| url::redirect(&at, location))
                .ok_or_else(|| refuse("redirects to an address that is not followed"))?;
            let stays = url::origin(&next) == url::origin(&at);
            if *method == Method::HEAD && !stays {
                return Ok(reply);
            }
            at = next;
        }
        Err(refuse("redirects too often"))
    }
}

/// A proxy that is spoken to over HTTP or HTTPS; ureq would do without any other.
fn parse_proxy(address: &str) -> Result<Proxy, ModelError> {
    let refuse = || HubError::Proxy { proxy: without_credentials(address).0 };
    let proxy = Proxy::new(address).map_err(|_| refuse())?; // its cause says no more
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(proxy),
        _ => Err(refuse().into()),
    }
}

/// Whether a repetition may go better.
pub(super) fn is_passing(error: &ModelError) -> bool {
    match error {
        ModelError::Hub(HubError::Connection { .. }) => true,
        // 416: the part that was asked for is not there; the whole is asked for next.
        ModelError::Hub(HubError::Status { status, .. }) => {
            matches!(status, 408 | 416 | 429 | 500..)
                && asked_pause(error).is_none_or(|pause| pause <= MAX_PAUSE)
        }
        _ => false,
    }
}

/// How long a server asks to wait.
fn asked_pause(error: &ModelError) -> Option<Duration> {
    match error {
        ModelError::Hub(HubError::Status { retry_after_s, .. }) => {
            retry_after_s.map(Duration::from_secs)
        }
        _ => None,
    }
}

/// A failure of the network, which says nothing of what was sent.
pub(super) fn connection(url: &str, error: ureq::Error) -> ModelError {
    HubError::Connection { url: url.to_owned(), source: error.into_io() }.into()
}
