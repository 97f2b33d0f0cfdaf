//! Readers: they are cut off again and again, and go on over another server.

use std::sync::Arc;

use nexo_core::{Error, Result, RunCursor, RunEnd, RunEvent, RunId, RunWatch};
use tokio::time::timeout;

use crate::{chance::Chance, client::PATIENCE, history::Reading, world::World};

/// One who reads one run to its end.
pub(crate) struct Reader {
    world: Arc<World>,
    name: String,
    chance: Chance,
    run: RunId,
    watch: Option<RunWatch>,
    /// Over which server.
    server: usize,
    /// What was seen, as the reader keeps it: as a text.
    cursor: Option<String>,
    text: String,
}

impl Reader {
    /// One who comes without a watch, finds a server first.
    pub(crate) fn new(
        world: &Arc<World>,
        name: String,
        run: RunId,
        watch: Option<(RunWatch, usize)>,
    ) -> Self {
        let (watch, server) = watch.unzip();
        Self {
            world: Arc::clone(world),
            name,
            chance: world.chance(),
            run,
            watch,
            server: server.unwrap_or_default(),
            cursor: None,
            text: String::new(),
        }
    }

    pub(crate) async fn read(mut self) {
        loop {
            if let Some(end) = self.follow().await {
                let Self { world, name: reader, run, text, .. } = self;
                return world.history.read(Reading { reader, run, text, end });
            }
            tokio::time::sleep(self.chance.millis(1..300)).await;
            self.reconnect().await;
        }
    }

    /// Reads until it is cut off, or the run ends.
    async fn follow(&mut self) -> Option<RunEnd> {
        let mut watch = self.watch.take()?;
        let longest = if self.chance.percent(50) { 1_000 } else { 12_000 };
        let cut = tokio::time::sleep(self.chance.millis(1..longest));
        tokio::pin!(cut);
        loop {
            let event = tokio::select! {
                biased;
                event = watch.next() => event,
                () = &mut cut => None,
            };
            match event {
                Some(RunEvent::Delta(text)) => {
                    self.text.push_str(&text);
                    let history = &self.world.history;
                    history.heard(&self.name, self.run, self.server, &self.text);
                }
                Some(RunEvent::Reset { attempt }) => {
                    self.note(format!("begins again with attempt {attempt}"));
                    self.text.clear();
                }
                Some(RunEvent::End(end)) => return Some(RunEnd::clone(&end)),
                Some(RunEvent::Meta { .. } | RunEvent::Error(_)) => {}
                None => return None,
            }
            // As with a stream of HTTP, it is the events that tell how far one is.
            self.cursor = Some(watch.cursor().to_string());
            if self.chance.percent(3) {
                return None;
            }
        }
    }

    async fn reconnect(&mut self) {
        let server = self.world.server(&mut self.chance);
        let engine = server.nexo.engine();
        let (scope, app) = (&self.world.scope, self.world.app);
        let resumed: Result<Option<RunWatch>> = match &self.cursor {
            Some(cursor) => {
                let cursor: RunCursor = cursor.parse().unwrap();
                let Ok(resumed) = timeout(PATIENCE, engine.resume(scope, app, cursor)).await else {
                    return;
                };
                resumed
            }
            None => match timeout(PATIENCE, engine.watch(scope, self.run)).await {
                Ok(watched) => watched.map(Some),
                Err(_) => return,
            },
        };
        let number = server.number;
        match resumed {
            Ok(Some(watch)) => {
                self.note(format!("goes on at s{number} from {:?}", self.place()));
                (self.watch, self.server) = (Some(watch), number);
            }
            Ok(None) => self.wrong(format!("s{number} has no more, and there was no end")),
            Err(Error::Unavailable(_) | Error::OutcomeUnknown(_)) => {}
            Err(error) => {
                self.wrong(format!("s{number} refuses {:?}: {error:?}", self.place()));
                self.text.clear();
                self.cursor = None;
            }
        }
    }

    /// The cursor without the run's id.
    fn place(&self) -> Option<&str> {
        self.cursor.as_deref()?.split_once('.').map(|(_, place)| place)
    }

    fn note(&self, what: String) {
        let run = self.world.history.name(self.run);
        self.world.history.note(|| format!("{} of {run}: {what}", self.name));
    }

    fn wrong(&self, what: String) {
        let run = self.world.history.name(self.run);
        self.world.history.wrong(format!("{} of {run}: {what}", self.name));
    }
}
