//! `.env` files: lines of `NAME=value`.

/// Reads the lines of a file.
///
/// `export` before a name, comments and quotes are understood as a shell does; nothing is
/// substituted.
///
/// # Errors
///
/// The number of the line that is none of this.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| entry(line).ok_or(number))
        .collect()
}

fn entry(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(())?;
    Some((name.to_owned(), unquote(value.trim())?))
}

fn unquote(value: &str) -> Option<String> {
    match value.chars().next() {
        Some('\'') => Some(value[1..].split_once('\'')?.0.to_owned()),
        Some('"') => escaped(&value[1..]),
        _ => Some(value.split(" #").next().unwrap_or_default().trim_end().to_owned()),
    }
}

/// The text up to the closing quote.
fn escaped(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some(plain),
            '\\' => plain.push(match characters.next()? {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            other => plain.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_quotes_and_comments_are_read() {
        let text = "# first\nPORT=8001\n\nexport HOST = 0.0.0.0 # all\nA='b # c'\nD=\"e\\n\\\"f\\\"\" # g\nE=\nG=a#b";

        let entries = parse(text).unwrap();

        let expected = [
            ("PORT", "8001"),
            ("HOST", "0.0.0.0"),
            ("A", "b # c"),
            ("D", "e\n\"f\""),
            ("E", ""),
            ("G", "a#b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_line_that_is_no_entry_is_told_by_its_number() {
        assert_eq!(parse("A=1\nnonsense"), Err(2));
        assert_eq!(parse("A B=1"), Err(1));
        assert_eq!(parse("A=\"open"), Err(1));
    }
}
