//! Proxies that requests to the Hub go through.

use crate::hub::Token;

/// The proxies of `https` and of `http`, and the hosts that are asked without one.
///
/// A proxy is spoken to over HTTP or HTTPS, and asked for a tunnel (`CONNECT`) to whatever the
/// address is, one of `http` included. Name and password may stand in its address; nothing prints
/// them.
///
/// # Examples
///
/// ```
/// use attention_probes::models::HubProxies;
///
/// let proxies = HubProxies::default()
///     .with_https("http://me:secret@proxy:3128")
///     .without_proxy("localhost, .example.com");
/// assert!(!format!("{proxies:?}").contains("secret"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubProxies {
    https: Option<Token>,
    http: Option<Token>,
    /// Hosts, in small letters, without the dot or star that may stand before them.
    direct: Vec<String>,
}

impl HubProxies {
    /// The proxies that the variables of the environment name, as most programs read them:
    /// `https_proxy`, `http_proxy`, `all_proxy` for both, and `no_proxy`, in small letters or in
    /// capitals.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::models::HubProxies;
    ///
    /// let var = |name: &str| (name == "HTTPS_PROXY").then(|| "http://proxy:3128".to_owned());
    /// assert_eq!(
    ///     HubProxies::from_vars(var),
    ///     HubProxies::default().with_https("http://proxy:3128")
    /// );
    /// ```
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| var(name).or_else(|| var(&name.to_uppercase()));
        let proxy = |name: &str| {
            let text = either(name).filter(|text| !text.trim().is_empty());
            Token::new(&text.or_else(|| either("all_proxy"))?)
        };
        let (https, http) = (proxy("https_proxy"), proxy("http_proxy"));
        Self { https, http, direct: Vec::new() }
            .without_proxy(&either("no_proxy").unwrap_or_default())
    }

    /// The proxy of addresses of `https`.
    #[must_use]
    pub fn with_https(mut self, proxy: &str) -> Self {
        self.https = Token::new(proxy);
        self
    }

    /// The proxy of addresses of `http`.
    #[must_use]
    pub fn with_http(mut self, proxy: &str) -> Self {
        self.http = Token::new(proxy);
        self
    }

    /// Hosts that are asked without a proxy, with commas between them: each with all hosts below
    /// it, with or without a port, or `*` for every host.
    #[must_use]
    pub fn without_proxy(mut self, hosts: &str) -> Self {
        let hosts = hosts.split([',', ' ']).map(str::trim).filter(|host| !host.is_empty());
        let plain = |host: &str| match host {
            "*" => host.to_owned(),
            host => host.trim_start_matches('*').trim_start_matches('.').to_lowercase(),
        };
        self.direct = hosts.map(plain).collect();
        self
    }
}

#[cfg(feature = "hub")]
impl HubProxies {
    /// The proxy of addresses of `https`, and that of those of `http`.
    pub(super) fn by_scheme(&self) -> [Option<&str>; 2] {
        [&self.https, &self.http].map(|proxy| proxy.as_ref().map(Token::reveal))
    }

    /// Whether a host, given as in an address, is asked without a proxy.
    pub(super) fn is_direct(&self, host: &str) -> bool {
        let host = host.to_lowercase();
        let name = host.rsplit_once(':').map_or(&*host, |(name, _)| name);
        let is_meant = |direct: &String| {
            let is_below = |host: &str| {
                host.strip_suffix(&**direct)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            direct == "*" || is_below(&host) || is_below(name)
        };
        self.direct.iter().any(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(set: &[(&str, &str)]) -> HubProxies {
        HubProxies::from_vars(|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_scheme_has_its_variable_and_both_have_one() {
        let both = HubProxies::default().with_https("http://a").with_http("http://b");
        assert_eq!(from(&[("https_proxy", "http://a"), ("HTTP_PROXY", "http://b")]), both);
        assert_eq!(from(&[("HTTPS_PROXY", "http://a"), ("ALL_PROXY", "http://b")]), both);
        assert_eq!(from(&[("https_proxy", ""), ("NO_PROXY", "")]), HubProxies::default());
    }

    #[cfg(feature = "hub")]
    #[test]
    fn hosts_are_left_out_with_those_below_them() {
        let proxies = from(&[("no_proxy", "localhost, .Example.com,*.b.org,10.0.0.1:80")]);
        for host in ["localhost", "LOCALHOST:1", "example.com", "a.example.com:443", "x.b.org"] {
            assert!(proxies.is_direct(host), "{host}");
        }
        assert!(proxies.is_direct("10.0.0.1:80") && !proxies.is_direct("10.0.0.1:81"));
        for host in ["notlocalhost", "example.org", "myexample.com", "com"] {
            assert!(!proxies.is_direct(host), "{host}");
        }
        assert!(from(&[("NO_PROXY", "*")]).is_direct("a"));
        assert!(!HubProxies::default().is_direct("a"));
    }
}
