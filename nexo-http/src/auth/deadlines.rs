//! Deadlines: keys that are remembered until a time each, and a bounded number of them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// How many keys are remembered. Clients choose them, so there must be an end to it.
const MAX_KEYS: usize = 10_000;

/// Keys with a time each, after which they are forgotten. Of too many the first to end goes,
/// which a flood of new keys makes one of its own. No call looks at every key.
#[derive(Default)]
pub(super) struct Deadlines {
    ends: HashMap<Arc<str>, i64>,
    in_order: BTreeSet<(i64, Arc<str>)>,
}

impl Deadlines {
    /// When a key ends, if it is remembered.
    pub(super) fn get(&self, key: &str) -> Option<i64> {
        self.ends.get(key).copied()
    }

    /// Has a key end at this time, and forgets those that have ended.
    pub(super) fn set(&mut self, key: &str, end: i64, now: i64) {
        let key: Arc<str> = key.into();
        if let Some(before) = self.ends.insert(Arc::clone(&key), end) {
            self.in_order.remove(&(before, Arc::clone(&key)));
        }
        self.in_order.insert((end, key));
        while self.in_order.first().is_some_and(|(end, _)| *end <= now || self.is_too_full()) {
            self.forget_first();
        }
    }

    fn is_too_full(&self) -> bool {
        self.in_order.len() > MAX_KEYS
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.in_order.pop_first() {
            self.ends.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut deadlines = Deadlines::default();
        deadlines.set("a", 10, 0);
        deadlines.set("b", 20, 0);
        deadlines.set("a", 30, 0);

        deadlines.set("c", 40, 20);

        assert_eq!(["a", "b", "c"].map(|key| deadlines.get(key)), [Some(30), None, Some(40)]);
        assert_eq!((deadlines.ends.len(), deadlines.in_order.len()), (2, 2));
    }

    #[test]
    fn a_flood_of_keys_drives_out_its_own() {
        let mut deadlines = Deadlines::default();
        deadlines.set("long", 1_000_000, 0);

        for number in 0..20_000 {
            deadlines.set(&number.to_string(), 1_000, 0);
        }

        assert_eq!(deadlines.get("long"), Some(1_000_000));
        assert_eq!((deadlines.ends.len(), deadlines.in_order.len()), (10_000, 10_000));
    }
}
