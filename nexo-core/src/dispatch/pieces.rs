//! Long texts in pieces, for readers that expect small events.

/// The most bytes of text in one delta that is passed on.
const MAX_DELTA_BYTES: usize = 1024;

/// The text in pieces of at most 1 KiB, no character cut.
pub(super) fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(MAX_DELTA_BYTES));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_small_whole_and_nothing_is_lost(text in "[a-zé🎉]{0,3000}") {
            let cut: Vec<&str> = pieces(&text).collect();

            prop_assert!(cut.iter().all(|piece| piece.len() <= 1024));
            prop_assert_eq!(cut.concat(), text);
        }
    }
}
