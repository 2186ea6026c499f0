//! Which setting counts, and what is said of one that does not: `check` names the ports it would
//! take.

use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::world::program;

/// Runs `check` beside a `Rocket.toml` with this text.
fn check(file: &str, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let home = TempDir::new().expect("a temporary directory");
    std::fs::write(home.path().join("Rocket.toml"), file).expect("written");
    program()
        .args(["check", "--no-chat-room"])
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// The ports that `check` would take.
fn ports(file: &str, variables: &[(&str, &str)], args: &[&str]) -> Vec<u16> {
    let output = check(file, variables, args);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let after_address = said.split("127.0.0.1:").skip(1);
    after_address
        .map(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|port| port.parse().ok()).expect("a port")
        })
        .collect()
}

#[test]
fn the_port_of_the_later_source_counts_whatever_it_is_called() {
    for file in ["[default]\nport = 6001", "[default]\nports = [6001]"] {
        assert_eq!(ports(file, &[], &[]), [6001], "{file}");
        for variable in [("ROCKET_PORT", "6002"), ("ROCKET_PORTS", "[6002]")] {
            assert_eq!(ports(file, &[variable], &[]), [6002], "{file} {variable:?}");
            let flag = ["--port", "6003"];
            assert_eq!(
                ports(file, &[variable], &flag),
                [6003],
                "{file} {variable:?}"
            );
        }
    }
    let profiles = "[default]\nport = 6001\n[own]\nports = [6002]";
    assert_eq!(ports(profiles, &[("ROCKET_PROFILE", "own")], &[]), [6002]);
}
