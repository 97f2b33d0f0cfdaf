//! The terminal.

use std::io::{self, Write, stderr, stdout};

/// Shows a text at once. What a terminal would take for an order is left out: the text is
/// somebody else's.
pub(crate) fn show(text: &str) -> io::Result<()> {
    let harmless = |character: &char| !character.is_control() || "\n\t".contains(*character);
    let text: String = text.chars().filter(harmless).collect();
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Says why the conversation can't go on.
pub(crate) fn warn(text: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(stderr(), "{text}");
}
