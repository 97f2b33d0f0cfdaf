//! What servers tell each other with: some of it never arrives.

use std::sync::{Arc, Mutex};

use nexo_core::{Heard, Hint, Hints, LocalHub, StreamHub};

use crate::chance::Chance;

/// A hub that all servers share, and that loses hints.
#[derive(Clone, Debug)]
pub(crate) struct LossyHub {
    all: LocalHub,
    chance: Arc<Mutex<Chance>>,
}

impl LossyHub {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { all: LocalHub::default(), chance: Arc::new(Mutex::new(chance)) }
    }
}

impl StreamHub for LossyHub {
    fn tell(&self, hint: Hint) {
        match self.chance.lock().unwrap().below(100) {
            0..30 => {}
            30..33 => self.all.pass_on(Heard::Everything),
            33..40 => (0..2).for_each(|_| self.all.tell(hint)),
            _ => self.all.tell(hint),
        }
    }

    fn listen(&self) -> Hints {
        self.all.listen()
    }

    fn reaches_others(&self) -> bool {
        true
    }
}
