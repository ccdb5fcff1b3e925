//! A browser without a window, driven over the `DevTools` protocol.
//!
//! The protocol runs over two pipes (`--remote-debugging-pipe`), JSON messages that end with a zero
//! byte, so that no port is open and no websocket is needed. A browser expects the pipes at file
//! descriptors 3 and 4; a shell puts its standard streams there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::skip::skipped;

/// How long anything may take before a test fails; nothing comes near it but on a stuck machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the tooltip says, one line.
pub(crate) const TOOLTIP: &str = "document.querySelector('#tooltip').hidden ? '' : [...document\
    .querySelectorAll('#tooltip .title, #tooltip dt, #tooltip dd')].map((n) => n.textContent)\
    .join('|')";

/// A browser with one page open.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    output: Receiver<Value>,
    session: String,
    next_id: u64,
    /// Everything the page reported: requests, console messages, exceptions.
    events: Vec<Value>,
    /// Where the browser keeps its profile.
    _profile: TempDir,
}

/// Finds a browser: the one that `CHROMIUM` names, or one in `PATH`.
fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

impl Browser {
    /// Starts a browser, or says that there is none; under `CI` that is a failure.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = find() else {
            let install =
                "install it (`apt-get install chromium`), or name a browser in `CHROMIUM`";
            skipped("no chromium in `PATH`, and `CHROMIUM` is not set", Some(install));
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--disable-quic", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let input = process.stdin.take().expect("stdin is piped");
        let stdout = process.stdout.take().expect("stdout is piped");
        let (sender, output) = channel();
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0) {
                let Ok(message) = message else { break };
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            input,
            output,
            session: String::new(),
            next_id: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session.push_str(attached["sessionId"].as_str().expect("a session"));
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Calls a method and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser listens");
        loop {
            let reply = self.receive();
            if reply["id"] == id {
                assert!(reply.get("error").is_none(), "{method}: {}", reply["error"]);
                return reply["result"].clone();
            }
            self.events.push(reply);
        }
    }

    fn receive(&mut self) -> Value {
        self.output.recv_timeout(PATIENCE).expect("the browser answers in time")
    }

    /// Opens a file in a window of a size, and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path, width: u32, height: u32) {
        self.resize(width, height);
        self.events.clear();
        self.call("Page.navigate", &json!({ "url": format!("file://{}", file.display()) }));
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(loaded) {
            let event = self.receive();
            self.events.push(event);
        }
        self.settle();
    }

    /// Sets the size of the window.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Asks for the light or the dark theme, as the system's settings would.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
        self.settle();
    }

    /// Waits for two frames, after which observers have run and the page is painted.
    pub(crate) fn settle(&mut self) {
        self.evaluate("new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))");
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", &params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The value of an expression that is a string.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// The value of an expression that is a number.
    pub(crate) fn number(&mut self, expression: &str) -> f64 {
        let value = self.evaluate(expression);
        value.as_f64().unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// The middle of the first box of an element, after it was scrolled into view.
    fn middle(&mut self, selector: &str) -> (f64, f64) {
        let selector = json!(selector);
        self.evaluate(&format!(
            "document.querySelector({selector}).scrollIntoView({{ block: 'center' }})"
        ));
        self.settle();
        let at = self.evaluate(&format!(
            "(() => {{ const b = document.querySelector({selector}).getClientRects()[0]; \
             return [b.left + b.width / 2, b.top + b.height / 2]; }})()"
        ));
        (at[0].as_f64().expect("x"), at[1].as_f64().expect("y"))
    }

    fn mouse(&mut self, kind: &str, (x, y): (f64, f64)) {
        let params = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", &params);
    }

    /// Moves the mouse over an element.
    pub(crate) fn hover(&mut self, selector: &str) {
        let at = self.middle(selector);
        let params = json!({ "type": "mouseMoved", "x": at.0, "y": at.1 });
        self.call("Input.dispatchMouseEvent", &params);
        self.settle();
    }

    /// Clicks an element.
    pub(crate) fn click(&mut self, selector: &str) {
        let at = self.middle(selector);
        self.mouse("mousePressed", at);
        self.mouse("mouseReleased", at);
        self.settle();
    }

    /// Presses and releases a key that has a name, such as `ArrowRight`.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            "Home" => 36,
            "End" => 35,
            "Escape" => 27,
            "Tab" => 9,
            other => panic!("the code of `{other}` is not known here"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let params = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
            });
            self.call("Input.dispatchKeyEvent", &params);
        }
        self.settle();
    }

    /// Types text into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
        self.settle();
    }

    /// Gives an element the focus.
    pub(crate) fn focus(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector({}).focus()", json!(selector)));
    }

    /// Presses a letter, which in a select picks the next option that begins with it.
    pub(crate) fn type_key(&mut self, letter: &str) {
        for (kind, text) in [("keyDown", letter), ("keyUp", "")] {
            let params = json!({ "type": kind, "key": letter, "text": text });
            self.call("Input.dispatchKeyEvent", &params);
        }
        self.settle();
    }

    /// Presses `key` until an expression holds.
    pub(crate) fn press_until(&mut self, key: &str, expression: &str) {
        for _ in 0..64 {
            if self.evaluate(expression) == json!(true) {
                return;
            }
            self.press(key);
        }
        panic!("`{key}` never made `{expression}` true");
    }

    /// A picture of the window, PNG in base64.
    pub(crate) fn screenshot(&mut self) -> String {
        let params = json!({ "format": "png" });
        let picture = self.call("Page.captureScreenshot", &params);
        picture["data"].as_str().expect("a picture").to_owned()
    }

    /// Fails if the page asked for anything but its own file, or said anything on the console.
    pub(crate) fn assert_quiet(&mut self) {
        self.settle();
        for event in &self.events {
            match event["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                    assert!(url.starts_with("file://"), "the page asked for {url}");
                    assert_eq!(event["params"]["type"], "Document", "the page asked for {url}");
                }
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => {
                    panic!("the page said {event}");
                }
                _ => {}
            }
        }
    }

    /// Fails if the page scrolls sideways.
    pub(crate) fn assert_fits(&mut self) {
        let overflow = self.evaluate(
            "(() => { const room = document.documentElement.clientWidth; \
             if (document.documentElement.scrollWidth <= room) return []; \
             return [...document.querySelectorAll('body *')].filter((node) => \
             node.getBoundingClientRect().right > room + 0.5 && !node.closest('.scroll, pre')) \
             .map((node) => `${node.tagName}.${node.className}`).slice(0, 5); })()",
        );
        assert_eq!(overflow, json!([]), "wider than the window");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It closes in its own time when it is asked, and leaves no child behind.
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
