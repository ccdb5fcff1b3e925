//! Downloads through a proxy.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use attention_probes_models::{HubError, HubProxies, ModelError};

use crate::hub::fixture::{access, download, golden, has, refused, repository};
use crate::hub::server::FakeHub;

/// A proxy that opens tunnels to one server, whatever it is asked for, or to none.
struct FakeProxy {
    address: String,
    /// The first line and the headers of each request.
    seen: Arc<Mutex<Vec<Vec<String>>>>,
}

impl FakeProxy {
    fn start(server: Option<&FakeHub>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
        let noted = seen.clone();
        let server = server.map(|hub| hub.endpoint.trim_start_matches("http://").to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (noted, server) = (noted.clone(), server.clone());
                std::thread::spawn(move || serve(client.unwrap(), server.as_deref(), &noted));
            }
        });
        Self { address, seen }
    }

    /// What it was asked for since the last call.
    fn take(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn serve(mut client: TcpStream, server: Option<&str>, noted: &Mutex<Vec<Vec<String>>>) {
    let lines = BufReader::new(client.try_clone().unwrap()).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
    noted.lock().unwrap().push(head);
    let Some(server) = server else {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        return;
    };
    let mut server = TcpStream::connect(server).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to); // the client may have gone
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Both);
}

#[test]
fn everything_goes_through_the_proxy_which_alone_need_know_the_host() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let proxy = FakeProxy::start(Some(&hub));
    let proxies = HubProxies::default().with_http(&format!("http://me:p%40ss@{}", proxy.address));
    let access =
        access(folder.path(), &hub).with_endpoint("http://hub.invalid").with_proxies(proxies);
    assert!(!format!("{access:?}").contains("p%40ss"), "{access:?}");
    let snapshot = download(&access).unwrap();
    let file = "model.safetensors";
    let weights = std::fs::read(golden().join(file)).unwrap();
    assert_eq!(std::fs::read(snapshot.join(file)).unwrap(), weights);

    let (asked, lines) = (proxy.take(), hub.take_lines());
    assert!(!lines.is_empty() && asked.len() <= lines.len(), "{asked:?} {lines:?}");
    for request in asked {
        assert_eq!(request[0], "CONNECT hub.invalid:80 HTTP/1.1");
        let basic = "Proxy-Authorization: Basic bWU6cEBzcw=="; // me:p@ss
        assert!(request.iter().any(|line| line == basic), "{request:?}");
    }
}

#[test]
fn the_proxy_of_https_is_asked_for_https_alone() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let proxy = FakeProxy::start(None);
    let proxies = HubProxies::default().with_https(&format!("http://me:secret@{}", proxy.address));
    let plain = access(folder.path(), &hub).with_proxies(proxies);
    let https = plain.clone().with_endpoint("https://hub.invalid");
    let error = download(&https).unwrap_err();
    assert!(matches!(error, ModelError::Hub(HubError::Connection { .. })), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    let asked = proxy.take();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| request[0] == "CONNECT hub.invalid:443 HTTP/1.1"));
    download(&plain).unwrap();
    assert_eq!(proxy.take(), [[""; 0]; 0]);
}

#[test]
fn a_host_that_is_left_out_is_asked_directly() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    let proxy = FakeProxy::start(None);
    let proxies = HubProxies::default().with_http(&format!("http://{}", proxy.address));
    let access = access(folder.path(), &hub);
    download(&access.with_proxies(proxies.without_proxy("example.com,127.0.0.1"))).unwrap();
    assert_eq!(proxy.take(), [[""; 0]; 0]);
}

#[test]
fn what_is_no_proxy_is_refused_before_anything_is_sent() {
    let (hub, folder) = (FakeHub::of(repository()), tempfile::tempdir().unwrap());
    for proxy in ["socks5://me:secret@localhost:1080", "ftp://me:secret@h", "http://", "a b"] {
        let proxies = HubProxies::default().with_http(proxy);
        let message = refused(&access(folder.path(), &hub).with_proxies(proxies));
        has(&message, &["the proxy `", "expected an address such as `http://proxy:3128`"]);
        assert!(!message.contains("secret"), "{message}");
    }
    assert_eq!(hub.take_lines(), [""; 0]);
}
