//! The plugins that tests run with: a real one, where there is one, and others that misbehave.
// Each test file uses a part of it.
#![allow(dead_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use expo_xla::client::{Client, Limits, Plugin, Value};

/// Says why `test` is skipped: once for a file, and past the harness, which keeps what tests that pass print.
pub fn skip(test: &str, reason: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        // Nobody may be reading.
        let _ = writeln!(std::io::stderr(), "{test} and others are skipped: {reason}");
    });
}

/// The CPU plugin of `EXPO_RL_PJRT_PLUGIN`; `None` (and a message) without it.
pub fn plugin_path(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("EXPO_RL_PJRT_PLUGIN").filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        skip(test, "no PJRT plugin. Get one: export EXPO_RL_PJRT_PLUGIN=$(scripts/get-pjrt.sh cpu)");
    }
    path
}

/// A client of that plugin with the plugin's own options.
pub fn client(test: &str, options: &[(&str, Value)]) -> Option<Client> {
    let path = plugin_path(test)?;
    let plugin = Plugin::load(&path).expect("EXPO_RL_PJRT_PLUGIN names a plugin");
    Some(plugin.client(options, Limits::default()).expect("a client of the CPU plugin"))
}

/// A plugin that misbehaves as `fake.c` says of `behaviour`; `None` (and a message) without a C compiler.
pub fn fake(test: &str, folder: &Path, behaviour: &str) -> Option<PathBuf> {
    let path = folder.join(format!("fake-{behaviour}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake.c");
    let compiler =
        Command::new("cc").arg(format!("-DBEHAVIOUR={behaviour}")).args(["-shared", "-fPIC", "-o"]).arg(&path).arg(source).status();
    match compiler {
        Ok(status) => {
            assert!(status.success(), "cc refuses fake.c");
            Some(path)
        }
        Err(error) => {
            skip(test, &format!("no C compiler (cc: {error})"));
            None
        }
    }
}

/// Runs `body` in a child process, for what may end the process or leave work behind in it: the test runs itself
/// again, alone. Gives whether it ended well, and its standard error. In the child itself: `None`, after `body`.
pub fn in_child(test: &str, body: impl FnOnce()) -> Option<(bool, String)> {
    const CHILD: &str = "EXPO_XLA_TEST_CHILD";
    if std::env::var_os(CHILD).is_some_and(|name| name == test) {
        body();
        return None;
    }
    let binary = std::env::current_exe().expect("the test's own binary");
    let output = Command::new(binary).args(["--exact", test, "--nocapture"]).env(CHILD, test).output().expect("the test as a child");
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}
