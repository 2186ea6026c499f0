//! What is said of settings that cannot be used: where and why, but no value that may be a secret.

use figment::Source;
use figment::error::Kind;

use crate::error::Error;

/// Settings whose values nobody else should read.
const SECRETS: [&str; 2] = ["secret_key", "database_url"];

/// Says that the settings cannot be used.
pub(super) fn unusable(problem: &dyn std::fmt::Display) -> Error {
    Error::Internal(format!("configuration: {problem}"))
}

/// Says which setting cannot be read, and where it is.
pub(super) fn unreadable(cause: &figment::Error) -> Error {
    let is_at = |name: &&str| {
        let mut causes = cause.clone().into_iter();
        causes.any(|one| one.path.iter().any(|part| part.eq_ignore_ascii_case(name)))
    };
    if let Some(name) = SECRETS.into_iter().find(is_at) {
        return unusable(&format!("{name} must be a text; put it in quotes"));
    }
    let text = cause.to_string();
    if !text.starts_with("TOML parse error") {
        return unusable(&format!("{} {}", place(cause), wanted(&cause.kind)));
    }
    // What the parser says then shows the whole line.
    let place = text.lines().next().unwrap_or_default();
    let file = text.rsplit(" in ").next().unwrap_or_default();
    let hint = if text.contains("expected a map") {
        "settings stand below a section, such as [default]"
    } else {
        "texts stand in quotes, and each name once"
    };
    unusable(&format!("{place} in {file}; {hint}"))
}

/// Which setting it is, by the name that it has where it stands.
fn place(cause: &figment::Error) -> String {
    let is_name = |part: &&String| part.parse::<usize>().is_err();
    let names: Vec<_> = cause.path.iter().filter(is_name).cloned().collect();
    match cause.metadata.as_ref().and_then(|it| it.source.as_ref()) {
        Some(Source::File(file)) => format!("{} in {}", names.join("."), file.display()),
        _ => format!("ROCKET_{}", names.join("__").to_uppercase()),
    }
}

/// What it should have been.
fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) => {
            format!("must be {}", in_words(wanted))
        }
        Kind::UnknownVariant(_, known) => format!("must be one of: {}", known.join(", ")),
        Kind::MissingField(name) => format!("needs {name}"),
        other => format!("cannot be used: {other}"),
    }
}

/// What serde calls a type, in words for who writes settings.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" | "path string" | "IP address" => "a text in quotes",
        "a sequence" => "a list in brackets",
        _ if wanted.starts_with("struct") => "a table of settings",
        _ if wanted.starts_with("enum") => "one of the words that docs/configuration.md lists",
        _ => wanted,
    }
}

/// Whether a URL has the parts that libpq looks for. What libpq says of one that has not may hold
/// parts of the password.
///
/// Source: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>
pub(super) fn is_postgres_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let place = postgres_place(url);
    let (address, parameters) = place.split_once('?').unwrap_or((place, ""));
    let hosts = address.split('/').next().unwrap_or_default();
    let is_pair = |parameter: &str| parameter.split('=').count() == 2;
    is_percent_encoded(rest)
        && !address.contains('@')
        && hosts.split(',').all(is_host)
        && (parameters.is_empty() || parameters.split('&').all(is_pair))
}

/// What follows the credentials of a URL, as libpq has it: they end with the first `@` that no `/`
/// comes before.
pub(crate) fn postgres_place(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    match rest.split_once('@') {
        Some((credentials, place)) if !credentials.contains('/') => place,
        _ => rest,
    }
}

/// Whether a browser could send `text` as an `Origin`, to which it is compared; or it means any.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc6454#section-6.2>
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return text == "*";
    };
    let usual_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "/",
    };
    let is_of_host = |c: char| c.is_ascii_graphic() && !"/?#@,".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.contains(|c: char| c.is_ascii_uppercase())
        && !host.is_empty()
        && host.chars().all(is_of_host)
        && is_host(host)
        && !host.ends_with(usual_port)
}

/// Whether each `%` begins a byte that may stand in a text.
fn is_percent_encoded(text: &str) -> bool {
    let is_byte = |digits: &str| digits != "00" && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let mut encoded = text.split('%').skip(1);
    encoded.all(|part| part.get(..2).is_some_and(is_byte))
}

/// A name or an address, with a port or without.
fn is_host(host: &str) -> bool {
    let port = match host.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((_, "")) => "",
            Some((_, after)) => after.strip_prefix(':').unwrap_or("none"),
            None => return false,
        },
        None => host.split_once(':').map_or("", |(_, port)| port),
    };
    port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_libpq_reads_are_taken() {
        for url in [
            "postgres://localhost",
            "postgresql://",
            "postgres:///db?host=/run/postgresql&user=a@b",
            "postgres://me@localhost:5432/db",
            "postgres://me:p%40ss:word?@one:1,two:2/db?connect_timeout=3",
            "postgres://me:secret@[::1]:5432/db",
            "postgres://me:secret@[::1]/db",
            "postgres://%2Frun%2Fpostgresql/db",
        ] {
            assert!(is_postgres_url(url), "{url}");
        }
    }

    #[test]
    fn only_what_a_browser_could_send_is_an_origin() {
        for origin in [
            "*",
            "https://chat.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "http://a:8080",
            "moz-extension://0a1b",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "",
            "null",
            "chat.example",
            "https://",
            "https://chat.example/",
            "https://chat.example/app",
            "https://Chat.example",
            "https://chat.example:443",
            "http://chat.example:80",
            "https://me@chat.example",
            "https://*.example,https://b",
            "https://chat.example:port",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }

    #[test]
    fn urls_of_which_libpq_would_show_the_password_are_not() {
        for url in [
            "postgres://me:sec%zzret@localhost/db",
            "postgres://me:secret%@localhost/db",
            "postgres://me:sec%00ret@localhost/db",
            "postgres://me:sec/ret@localhost/db",
            "postgres://me:sec@ret@localhost/db",
            "postgres://me:secret",
            "postgres://me:secret@[::1/db",
            "postgres://me:secret@[::1]x/db",
            "postgres://localhost/db?password",
            "postgres://localhost/db?password=se=cret",
        ] {
            assert!(!is_postgres_url(url), "{url}");
        }
    }
}
