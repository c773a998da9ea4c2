//! A test in a network namespace of its own, with the kernel's real interfaces. It must be alone in its program, which
//! runs itself anew inside.

use std::process::Command;

const INSIDE: &str = "DUET_TEST_NAMESPACE";

/// Runs `inside` in a namespace, as the test that is called `name`; says so where none can be had.
pub(crate) fn in_namespace(name: &str, inside: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(inside);
    }
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]);
        command
    };
    if !namespace().arg("true").status().is_ok_and(|s| s.success()) {
        println!("skipped: no network namespace can be had here");
        return;
    }
    let ourselves = std::env::current_exe().expect("our own name");
    let inside = namespace()
        .arg(ourselves)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(inside.is_ok_and(|status| status.success()));
}

/// `ip` with these words.
pub(crate) fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(done.is_ok_and(|status| status.success()), "ip {arguments}");
}
