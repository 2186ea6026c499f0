//! The rules of the house that can be checked: who may import whom, how long a file may be, what
//! is not to be found anywhere, and that the description of the API is what is mounted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{ended, program};

/// A source file: its path from the crate's root, its text, and its code without comments and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

/// The Rust files under each of `folders`.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no sources in {folders:?}");
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a source file is readable");
        let path = file
            .strip_prefix(root)
            .expect("it is under the root")
            .display()
            .to_string();
        let code = code_of(&text);
        Source { path, text, code }
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `text` without comments and without the unit tests at its foot.
fn code_of(text: &str) -> String {
    let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let without_comment = |line: &str| {
        let trimmed = line.trim_start();
        let comment = trimmed.starts_with("//");
        let code = if comment {
            ""
        } else {
            line.split(" // ").next().unwrap_or(line)
        };
        format!("{code}\n")
    };
    production.lines().map(without_comment).collect()
}

/// Whether `code` holds `word` not preceded by a letter, digit or underscore.
fn mentions(code: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_word))
}

/// Panics with every broken rule at once.
fn assert_none(broken: &[String]) {
    assert!(
        broken.is_empty(),
        "{} rules are broken:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let long = sources(&["src", "tests", "benches"])
        .iter()
        .filter(|source| source.text.lines().count() > 400)
        .map(|source| format!("{}: {} lines", source.path, source.text.lines().count()))
        .collect::<Vec<_>>();
    assert_none(&long);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources(&["src", "tests", "benches"])
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path.clone())
        .collect::<Vec<_>>();
    assert_none(&silent);
}

/// Which libraries may be used only where: a word, and the paths that may hold it.
const ONLY_IN: &[(&str, &[&str])] = &[
    (
        "rocket::",
        &[
            "src/api/",
            "src/agent/routes/",
            "src/sources.rs",
            "src/method.rs",
        ],
    ),
    ("rocket_ws::", &["src/api/"]),
    (
        "diesel::",
        &[
            "src/db/",
            "src/model.rs",
            "src/schema.rs",
            "src/error.rs",
            "src/users/",
            "src/contacts",
            "src/messages/",
            "src/rooms",
            "src/files",
        ],
    ),
    (
        "argon2::",
        &["src/app.rs", "src/users/password.rs", "src/agent/crypto.rs"],
    ),
    ("jsonwebtoken::", &["src/users/tokens.rs"]),
    ("aes_gcm::", &["src/agent/crypto"]),
    ("crate::agent", &["src/agent/", "src/main.rs", "src/lib.rs"]),
];

#[test]
fn libraries_are_used_only_where_they_belong() {
    let mut broken = Vec::new();
    for source in sources(&["src"]) {
        for (word, places) in ONLY_IN {
            let allowed = places.iter().any(|place| source.path.starts_with(place));
            if mentions(&source.code, word) && !allowed {
                broken.push(format!("{} uses {word}", source.path));
            }
        }
    }
    assert_none(&broken);
}

/// The layers from the bottom up; a file may import from its own layer's folder and from below.
const LAYERS: &[&[&str]] = &[
    &["schema", "error"],
    &["model"],
    &[
        "caches", "data_dir", "db", "hub", "incoming", "outgoing", "presence", "signer", "throttle",
    ],
    &["app"],
    &["users"],
    &["contacts", "rooms", "files"],
    &["messages"],
    &["api", "agent"],
];

/// Modules without a layer: what starts the server and looks at it from outside, and what belongs to
/// anyone.
const UNLAYERED: &[&str] = &[
    "main", "lib", "log", "signals", "check", "config", "sources", "method", "integer", "bind",
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn module_of(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    inside.split(['/', '.']).next().unwrap_or(inside)
}

#[test]
fn imports_point_down_only() {
    let mut broken = Vec::new();
    for source in sources(&["src"]) {
        // Each module is named where it is imported, so that a search finds it, as this one does.
        for group in ["crate::{", "crate::api::{", "super::super::{"] {
            if mentions(&source.code, group) {
                broken.push(format!("{} imports a group of modules", source.path));
            }
        }
        let own = module_of(&source.path);
        let Some(layer) = layer_of(own) else {
            if !UNLAYERED.contains(&own) {
                broken.push(format!("{} is in no layer", source.path));
            }
            continue;
        };
        for (other_layer, modules) in LAYERS.iter().enumerate() {
            for module in *modules {
                let beside = other_layer == layer && *module != own && layer > 2;
                let imports = mentions(&source.code, &format!("crate::{module}::"))
                    || mentions(&source.code, &format!("crate::{module};"));
                if imports && (other_layer > layer || beside) {
                    broken.push(format!("{} imports crate::{module}", source.path));
                }
            }
        }
    }
    assert_none(&broken);
}

/// The published APIs, each in a folder of its own.
const APIS: [&str; 5] = [
    "message_store",
    "secure_im",
    "chat8",
    "chat_room",
    "encommunication",
];

#[test]
fn no_api_imports_another() {
    let mut broken = Vec::new();
    for source in sources(&["src/api"]) {
        for own in APIS {
            if !source.path.starts_with(&format!("src/api/{own}")) {
                continue;
            }
            for other in APIS.into_iter().filter(|other| *other != own) {
                for word in [format!("api::{other}"), format!("super::{other}")] {
                    if mentions(&source.code, &word) {
                        broken.push(format!("{} imports {other}", source.path));
                    }
                }
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn no_api_writes_sql_and_no_noun_knows_http() {
    let mut broken = Vec::new();
    for source in sources(&["src/api", "src/agent"]) {
        for word in ["SELECT ", "INSERT INTO", "DELETE FROM", "crate::schema"] {
            if source.code.contains(word) {
                broken.push(format!("{} has {word:?}", source.path));
            }
        }
    }
    for source in sources(&[
        "src/users",
        "src/messages",
        "src/contacts",
        "src/rooms",
        "src/files",
    ]) {
        for word in ["json!", "tungstenite", "StatusCode", "rocket_ws"] {
            if source.code.contains(word) {
                broken.push(format!("{} has {word:?}", source.path));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn there_are_no_globals() {
    let mut broken = Vec::new();
    for source in sources(&["src"]) {
        for word in ["static mut ", "lazy_static", "thread_local!"] {
            if mentions(&source.code, word) {
                broken.push(format!("{} has {word}", source.path));
            }
        }
        let statics = source.code.lines().filter(|line| {
            let line = line
                .trim_start()
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub ");
            let holds_state = ["Once", "Lazy", "Mutex", "RwLock", "Atomic", "Cell"]
                .iter()
                .any(|word| line.contains(word));
            line.starts_with("static ") && holds_state
        });
        broken.extend(statics.map(|line| format!("{}: {}", source.path, line.trim())));
    }
    assert_none(&broken);
}

#[test]
fn no_type_is_named_for_having_no_name() {
    let mut broken = Vec::new();
    for source in sources(&["src", "benches"]) {
        let words: Vec<&str> = source.code.split_whitespace().collect();
        for pair in words.windows(2) {
            let name = pair[1]
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default();
            let declared = ["struct", "enum", "trait", "type"].contains(&pair[0]);
            for word in [
                "Service",
                "Manager",
                "Repository",
                "Handler",
                "Helper",
                "Util",
            ] {
                if declared && name.contains(word) {
                    broken.push(format!("{}: {name}", source.path));
                }
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn only_what_sqlite_calls_is_unsafe() {
    let mut broken = Vec::new();
    for source in sources(&["src"]) {
        if mentions(&source.code, "unsafe") && source.path != "src/db/log_file.rs" {
            broken.push(format!("{} has unsafe code", source.path));
        }
    }
    assert_none(&broken);
}

#[test]
fn nothing_is_left_for_later_and_nothing_is_silenced() {
    let mut broken = Vec::new();
    for source in sources(&["src"]) {
        for word in [".unwrap()", "todo!(", "unimplemented!("] {
            if source.code.contains(word) {
                broken.push(format!("{} has {word}", source.path));
            }
        }
        let silenced = source.code.split("[allow(").skip(1);
        if silenced
            .clone()
            .any(|lint| !lint.split(']').next().unwrap_or(lint).contains("reason = "))
        {
            broken.push(format!("{} silences a lint without a reason", source.path));
        }
        for word in ["TODO", "FIXME", "XXX"] {
            if mentions(&source.text, word) {
                broken.push(format!("{} has {word}", source.path));
            }
        }
    }
    assert_none(&broken);
}

/// Routes that serve people or files and are no part of the described API.
const UNDESCRIBED: [&str; 2] = ["/docs", "/openapi.json"];

#[test]
fn the_description_is_what_is_mounted() {
    let lines = |args: &[&str]| {
        let output = ended(program().args(args));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let mounted: BTreeSet<String> = lines(&["openapi", "--mounted"])
        .lines()
        .filter(|line| !UNDESCRIBED.iter().any(|path| line.contains(path)))
        .map(str::to_owned)
        .collect();
    let description: serde_json::Value = serde_json::from_str(&lines(&["openapi"])).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().expect("paths") {
        let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
        for method in methods
            .into_iter()
            .filter(|method| operations.get(method).is_some())
        {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    described.retain(|line| !UNDESCRIBED.iter().any(|path| line.contains(path)));
    let undescribed: Vec<_> = mounted.difference(&described).collect();
    let unmounted: Vec<_> = described.difference(&mounted).collect();
    assert!(
        undescribed.is_empty() && unmounted.is_empty(),
        "mounted only: {undescribed:?}\ndescribed only: {unmounted:?}"
    );
}
