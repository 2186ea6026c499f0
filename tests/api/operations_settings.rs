//! Which setting counts, and what is said of one that does not: `check` names the ports it would
//! take.

use std::process::Output;

use tempfile::TempDir;

use crate::operations_start::assert_one_line;
use crate::world::{ended, program};

/// Runs `check` beside a `Rocket.toml` with this text.
fn check(file: &str, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let home = TempDir::new().expect("a temporary directory");
    std::fs::write(home.path().join("Rocket.toml"), file).expect("written");
    ended(
        program()
            .args(["check", "--no-chat-room"])
            .args(args)
            .envs(variables.iter().copied())
            .current_dir(home.path()),
    )
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

#[test]
fn a_port_that_is_named_twice_is_told_as_such() {
    let twice = "port 6205 is named twice";
    let flags = ["--port", "6205", "--port", "6205"];
    assert_one_line(&check("", &[], &flags), twice);
    let variable = ("ROCKET_PORTS", "[6204, 6205, 6205]");
    assert_one_line(&check("", &[variable], &[]), twice);
    let home = TempDir::new().expect("a temporary directory");
    let rooms = |flags: &[&str]| {
        let mut program = program();
        program.arg("check").args(flags).current_dir(home.path());
        ended(&mut program)
    };
    let flags = ["--port", "6205", "--chat-room-port", "6205"];
    assert_one_line(&rooms(&flags), twice);
    let flags = ["--port", "0", "--port", "0", "--chat-room-port", "0"];
    assert!(rooms(&flags).status.success(), "each 0 is another port");
}

/// The one line on standard error.
fn warning(file: &str, variables: &[(&str, &str)]) -> String {
    let output = check(file, variables, &["--port", "0"]);
    assert!(output.status.success(), "it is no error: {output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    said
}

#[test]
fn a_setting_that_nobody_reads_is_named_in_one_line() {
    let said = warning("[default]\nmax_content_byte = 1", &[]);
    assert!(said.contains("max_content_byte in Rocket.toml"), "{said}");
    let said = warning("[default.chatroom]\nenabled = false", &[]);
    assert!(said.contains("chatroom in Rocket.toml"), "{said}");
    let said = warning("[default.tls]\ncerts = \"certs.pem\"", &[]);
    assert!(said.contains("tls in Rocket.toml"), "{said}");
    let said = warning("", &[("ROCKET_MAX_CONTENT_BYTE", "1")]);
    assert!(said.contains("ROCKET_MAX_CONTENT_BYTE"), "{said}");
    let said = warning("[default.chat_room]\nprot = 1", &[]);
    assert!(said.contains("chat_room.prot in Rocket.toml"), "{said}");
    let said = warning("", &[("ROCKET_CHAT_ROOM__PROT", "1")]);
    assert!(said.contains("ROCKET_CHAT_ROOM__PROT"), "{said}");
}

#[test]
fn settings_of_rocket_that_nobody_reads_are_named_in_one_line() {
    for (name, value) in [
        ("ROCKET_LOG_LEVEL", "loud"),
        ("ROCKET_LIMITS", "5"),
        ("ROCKET_KEEP_ALIVE", "abc"),
    ] {
        let said = warning("", &[(name, value)]);
        let expected = format!("{name} has no effect: of Rocket's own settings");
        assert!(said.contains(&expected), "{said}");
    }
    let said = warning("[default.limits]\njson = \"1MiB\"", &[]);
    assert!(said.contains("limits in Rocket.toml"), "{said}");
}

#[test]
fn the_agent_warns_of_settings_that_nobody_reads() {
    let home = TempDir::new().expect("a temporary directory");
    let mut agent = program();
    // An address that it refuses, so that it ends.
    agent.args(["agent", "--port", "0", "--address", "10.0.0.1"]);
    let agent = agent.current_dir(home.path());
    let output = ended(agent.env("ROCKET_LOG_FILTR", "debug"));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let warning = "sealpost: warning: ROCKET_LOG_FILTR has no effect";
    assert!(said.starts_with(warning), "{said}");
}

#[test]
fn an_origin_that_no_browser_sends_is_refused_in_words() {
    for origin in ["https://x.example/", "x.example"] {
        let file = format!("[default]\nallowed_origins = [\"{origin}\"]");
        let output = check(&file, &[], &["--port", "0"]);
        assert_one_line(&output, "allowed_origins must hold");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_not_shown() {
    let url = |password: &str| format!("postgres://me:{password}@localhost/db");
    for (file, variables) in [
        ("[default]\nsecret_key = hush-hush", &[][..]),
        ("[default]\nsecret_key = \"hush-hush\n\"", &[]),
        ("secret_key = \"hush-hush\"", &[]),
        ("[default]\nsecret_key = [\"hush-hush\"]", &[]),
        ("", &[("ROCKET_DATABASE_URL", url("hush-hush%zz").as_str())]),
        ("", &[("ROCKET_DATABASE_URL", url("hush-hush/").as_str())]),
        ("", &[("ROCKET_DATABASE_URL", url("@hush-hush").as_str())]),
    ] {
        let output = check(file, variables, &["--port", "0"]);
        assert_one_line(&output, "configuration");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn a_setting_of_the_wrong_kind_is_told_by_name_what_it_must_be() {
    for (setting, must) in [
        (
            "workers = \"many\"",
            "workers in Rocket.toml must be a whole number",
        ),
        (
            "port = 70000",
            "ports in Rocket.toml must be a whole number from 0 to 65535",
        ),
        ("ports = 6001", "ports in Rocket.toml must be a list"),
        (
            "max_upload_bytes = -1",
            "must be a whole number that is not negative",
        ),
        (
            "auth = \"closed\"",
            "auth in Rocket.toml must be one of: protected, token, open",
        ),
        ("data_dir = 1", "data_dir in Rocket.toml must be a text"),
        (
            "address = \"here\"",
            "address in Rocket.toml cannot be used: invalid IP address",
        ),
        (
            "auth = true",
            "auth in Rocket.toml must be one of the words",
        ),
        (
            "chat_room.tls = { certs = \"a\" }",
            "chat_room.tls in Rocket.toml needs key",
        ),
    ] {
        let output = check(&format!("[default]\n{setting}"), &[], &[]);
        assert_one_line(&output, must);
    }
    let variable = ("ROCKET_CHAT_ROOM__PORT", "many");
    assert_one_line(
        &check("", &[variable], &[]),
        "ROCKET_CHAT_ROOM__PORT must be a whole number",
    );
}

#[test]
fn a_setting_above_any_section_is_told_where_it_belongs() {
    let output = check("auth = \"token\"", &[], &["--port", "0"]);
    assert_one_line(&output, "[default]");
}

#[test]
fn a_file_of_settings_that_is_not_there_stops_the_agent_too() {
    let home = TempDir::new().expect("a temporary directory");
    let mut agent = program();
    agent
        .args(["agent", "--port", "0"])
        .current_dir(home.path());
    let output = ended(agent.env("ROCKET_CONFIG", "nowhere.toml"));
    assert_one_line(&output, "nowhere.toml");
}

#[test]
fn a_profile_that_is_not_there_is_named_in_one_line() {
    let said = warning("[prod]\nauth = \"token\"", &[("ROCKET_PROFILE", "prdo")]);
    assert!(said.contains("ROCKET_PROFILE=prdo"), "{said}");
    let said = warning("[defualt]\nauth = \"token\"", &[]);
    assert!(said.contains("[default]"), "{said}");
}

#[test]
fn settings_that_are_read_or_that_nobody_misses_are_not_warned_of() {
    let published = include_str!("../../Rocket.toml");
    let rockets = "[default]\nport = 6001\nident = \"x\"\ncli_colors = false\n\
                   [prod]\nauth = \"token\"";
    let variables = [
        ("ROCKET_CHAT_ROOM__PORT", "6002"),
        ("ROCKET_PROFILE", "prod"),
        ("ROCKET_SECRET_KEY", "a secret of thirty-two characters"),
    ];
    for (file, variables) in [(published, &[][..]), (rockets, &variables)] {
        let output = check(file, variables, &["--port", "0"]);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}
