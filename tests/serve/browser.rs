//! A real browser, told what to do over a pipe: the DevTools protocol, a message of JSON and a zero byte each way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

/// How long a page may take: a machine that is busy with builds takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    number: u64,
    /// What the page complained of: exceptions, errors on the console, what the policy forbids.
    pub(crate) faults: Vec<String>,
    /// Addresses that the page asked for.
    pub(crate) requests: Vec<String>,
    _profile: tempfile::TempDir,
}

/// The browser on the path.
pub(crate) fn find() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

impl Browser {
    /// Starts it with an empty page.
    pub(crate) fn start(path: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken on the files 3 and 4, which a shell can set up.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .arg(path)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let to = child.stdin.take().unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let messages = BufReader::new(out).split(0).map_while(Result::ok);
            let messages = messages.filter_map(|message| serde_json::from_slice(&message).ok());
            for message in messages {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (faults, requests) = Default::default();
        let mut browser = Browser {
            child,
            to,
            from,
            session: String::new(),
            number: 0,
            faults,
            requests,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "DOM", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and waits for its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let id = self.number;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        self.to.flush().unwrap();
        loop {
            let message = self.from.recv_timeout(PATIENCE).expect("the browser answers");
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Notes what a page does of its own.
    fn note(&mut self, event: &Value) {
        let found = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.faults.push(found["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if found["type"] != "log" => {
                self.faults.push(found["args"].to_string());
            }
            // An answer that is no caption is what some tests ask for.
            "Log.entryAdded" if found["entry"]["source"] != "network" => {
                self.faults.push(found["entry"].to_string());
            }
            "Network.requestWillBeSent" => {
                self.requests.push(found["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let found = self.call("Runtime.evaluate", asked);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        let begun = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            let text = "document.body.innerText";
            assert!(begun.elapsed() < PATIENCE, "{expression} in {}", self.value(text));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A window of this width, in light or dark colours.
    pub(crate) fn size(&mut self, width: u32, dark: bool) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Goes to an address.
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// Chooses a file, as a person does in the dialogue of an input.
    pub(crate) fn choose(&mut self, input: &str, file: &Path) {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let asked = json!({ "nodeId": root, "selector": input });
        let node = self.call("DOM.querySelector", asked)["nodeId"].clone();
        self.call("DOM.setFileInputFiles", json!({ "nodeId": node, "files": [file] }));
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text into whatever has the focus.
    pub(crate) fn types(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Moves the pointer to the middle of an element.
    pub(crate) fn point(&mut self, element: &str) {
        let middle = format!(
            "(() => {{ {element}.scrollIntoView({{ block: 'center' }}); const box = {element}.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let place = self.value(&middle);
        let event = json!({ "type": "mouseMoved", "x": place[0], "y": place[1] });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// The whole page as a PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let found = self.call("Page.captureScreenshot", asked);
        base64::engine::general_purpose::STANDARD.decode(found["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
