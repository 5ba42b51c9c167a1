//! Pages in a real browser, where one is installed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Notes whatever goes wrong in a page, from before its first line.
const WITNESS: &str = r#"<head><script>
window.faults = [];
addEventListener("error", (event) => faults.push(String(event.message)));
addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => faults.push(`${event.violatedDirective} ${event.blockedURI}`));
for (const kind of ["error", "warn"]) console[kind] = (...all) => faults.push(all.join(" "));
</script>"#;

/// How long a page may take: a machine that is busy with builds takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The browser on the path.
pub(crate) fn find() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// Opens a page in a frame of this width and runs `script` as a function of `page` and `view`. Returns the page's
/// `faults`, its `requests` beyond itself, its `width`, its horizontal `overflow`, and the script's `answer`.
pub(crate) fn look(browser: &Path, page: &str, width: u32, script: &str) -> Value {
    let page = page.replacen("<head>", WITNESS, 1);
    assert!(page.contains("window.faults"), "the page has a head");
    let escaped = page.replace('&', "&amp;").replace('"', "&quot;");
    let outer = format!(
        r#"<!DOCTYPE html><meta charset="utf-8">
<iframe id="frame" style="width:{width}px;height:800px;border:0" srcdoc="{escaped}"></iframe>
<script>
addEventListener("load", () => {{
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  let answer = null;
  try {{ answer = (function () {{ {script} }})(); }} catch (fault) {{ view.faults.push(String(fault)); }}
  const requests = view.performance.getEntriesByType("resource").map((entry) => entry.name);
  const found = {{
    faults: view.faults, requests: requests.filter((name) => !name.startsWith("data:")),
    width: view.innerWidth, overflow: root.scrollWidth - root.clientWidth, answer,
  }};
  document.body.replaceChildren("found:" + btoa(encodeURIComponent(JSON.stringify(found))) + ":end");
}});
</script>"#
    );
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("outer.html");
    fs::write(&file, outer).unwrap();
    let dom = room.path().join("dom.html");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--window-size=1280,900", "--dump-dom"])
        .arg(format!("--user-data-dir={}", room.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&dom).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let begun = Instant::now();
    while child.try_wait().expect("the browser can be waited for").is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the browser does not come to an end");
        }
        sleep(Duration::from_millis(10));
    }
    let dom = fs::read_to_string(dom).expect("the page as the browser has it");
    let found = dom.split("found:").nth(1).and_then(|rest| rest.split(":end").next());
    let found = found.unwrap_or_else(|| panic!("the browser answers: {dom:.2000}"));
    decoded(found)
}

/// What `btoa(encodeURIComponent(..))` has encoded.
fn decoded(text: &str) -> Value {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let mut plain = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let hex = std::str::from_utf8(&after[..2]).unwrap();
            plain.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &after[2..];
        } else {
            plain.push(*byte);
            rest = after;
        }
    }
    serde_json::from_slice(&plain).unwrap()
}
