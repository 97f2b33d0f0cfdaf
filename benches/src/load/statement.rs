//! A statement of the server's, in its own words: what the database is measured with has to
//! be the same, also when it has changed.

/// A statement with its parameters `$1`, `$2` and so on.
#[derive(Clone, Debug)]
pub(crate) struct Statement(pub(crate) String);

impl Statement {
    /// The same with these in the places of the parameters.
    pub(crate) fn with(&self, values: &[&str]) -> String {
        // The last comes first, since `$1` is also how `$10` begins.
        let numbered = values.iter().enumerate().rev();
        let text = numbered.fold(self.0.clone(), |text, (index, value)| {
            text.replace(&format!("${}", index + 1), value)
        });
        text + ";\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_gets_its_own_value() {
        let values = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

        let text = Statement("$1 $2 $10 $1".to_owned()).with(&values);

        assert_eq!(text, "a b j a;\n");
    }
}
