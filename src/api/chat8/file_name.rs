//! What a part of a form says that its file is called. The form's parser knows no name in a
//! character set, and none that is not UTF-8. Source: RFC 6266 §4, RFC 8187, WHATWG's forms.

use rocket::http::RawStr;

/// The name in a `Content-Disposition`, as it was written; empty if there is none. `filename*`
/// counts before `filename`, wherever it stands. Of what is not in its character set the rest is
/// kept.
pub(super) fn file_name(disposition: &[u8]) -> String {
    let text = String::from_utf8_lossy(disposition);
    let parameters = parameters(&text);
    let find = |wanted: &str| {
        let mut found = parameters.iter().filter(|(name, _)| name == wanted);
        found.next().map(|(_, value)| value.as_str())
    };
    let extended = find("filename*").and_then(decoded).unwrap_or_default();
    let plain = find("filename").map(unescaped).unwrap_or_default();
    let is_broken = extended.contains(char::REPLACEMENT_CHARACTER) && !plain.is_empty();
    if extended.is_empty() || is_broken {
        plain
    } else {
        extended
    }
}

/// The parameters of a header's value, their names in lower case.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once(';') {
        rest = behind;
        let Some(end) = rest.find([';', '=']) else {
            break;
        };
        let (name, text) = rest.split_at(end);
        let Some(text) = text.strip_prefix('=') else {
            // It has no value: the next one follows.
            rest = text;
            continue;
        };
        let (value, behind) = value_at(text.trim_start());
        rest = behind;
        found.push((name.trim().to_ascii_lowercase(), value));
    }
    found
}

/// The value at the beginning of a text, and what stands behind it. Between quotes a `;` is text;
/// a backslash too, but before a quote or another one: not every client escapes it.
fn value_at(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, behind) = text.split_at(text.find(';').unwrap_or(text.len()));
        return (value.trim_end().to_owned(), behind);
    };
    let mut value = String::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' if rest.as_str().starts_with(['"', '\\']) => value.extend(rest.next()),
            c => value.push(c),
        }
    }
    (value, rest.as_str())
}

/// What `character set'language'percent-encoded` stands for, if it is that. The set is UTF-8: no
/// other is left (RFC 8187 §3.2.1).
fn decoded(extended: &str) -> Option<String> {
    let mut parts = extended.splitn(3, '\'');
    let encoded = parts.nth(2)?;
    Some(RawStr::new(encoded).percent_decode_lossy().into_owned())
}

/// A file name without the escapes of browsers, which write a `%` itself as it is: these three are
/// all there are (WHATWG, multipart/form-data encoding).
fn unescaped(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(parameters: &str, expected: &str) {
        let disposition = format!("form-data; {parameters}");
        assert_eq!(file_name(disposition.as_bytes()), expected, "{parameters}");
    }

    #[test]
    fn a_name_in_a_character_set_counts_before_a_plain_one() {
        let report = "filename*=utf-8''%E6%8A%A5%E5%91%8A.pdf";
        check(report, "报告.pdf");
        check(
            &format!("filename=\"=?utf-8?B?5oql5ZGK?=\"; {report}"),
            "报告.pdf",
        );
        check(&format!("{report}; filename=\"report.pdf\""), "报告.pdf");
        check("FileName* = \"UTF-8'de'Gr%C3%BC%C3%9Fe\"", "Grüße");
    }

    #[test]
    fn a_name_in_a_character_set_that_cannot_be_read_leaves_the_plain_one() {
        for broken in ["", "''", "utf-8''", "a.txt", "utf-8''%E6%8A.pdf"] {
            check(&format!("filename*={broken}; filename=a.txt"), "a.txt");
        }
        check("filename*=utf-8''%FFa.pdf", "\u{fffd}a.pdf");
    }

    #[test]
    fn what_stands_between_quotes_is_text() {
        check(
            "filename=\"a; filename*=utf-8''evil.txt\"",
            "a; filename*=utf-8''evil.txt",
        );
        check("name=\"a; filename=b\"; filename = c d.txt ", "c d.txt");
        check(r#"filename="a \"b\" \\ \c.txt""#, r#"a "b" \ \c.txt"#);
        check(
            "filename=\"a %22b%22 100%2541.txt\"",
            "a \"b\" 100%2541.txt",
        );
        check("filename=\"a.txt", "a.txt");
        check("filename; filename=a.txt", "a.txt");
        check(&(";".repeat(500_000) + "filename=a.txt"), "a.txt");
        check("name=\"file\"", "");
    }

    #[test]
    fn of_a_name_that_is_not_utf_8_the_rest_is_kept() {
        let gbk = b"form-data; filename=\"\xb1\xa8\xb8\xe6.pdf\"";
        assert_eq!(file_name(gbk), "\u{fffd}".repeat(4) + ".pdf");
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_read_as_it_was_meant(name in "[^%]{0,40}", other in "[^%]{0,40}") {
            let quoted = |text: &str| text.replace('\\', r"\\").replace('"', r#"\""#);
            let header = format!("form-data; name=\"{}\"; filename=\"{}\"", quoted(&other), quoted(&name));
            prop_assert_eq!(file_name(header.as_bytes()), name);
        }

        #[test]
        fn whatever_comes_is_read(header in prop::collection::vec(any::<u8>(), 0..80)) {
            file_name(&header);
        }
    }
}
