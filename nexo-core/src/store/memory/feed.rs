//! What changed in threads.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{State, ThreadRow},
};
use crate::{
    AppId, Change, ChangeLimit, ChangePage, Changed, Error, FeedStore, NewestThreads, Result,
    Scope, ThreadCursor, ThreadId,
};

impl ThreadRow {
    /// The version up to which a reader with this cursor has seen everything.
    fn seen(&self, cursor: ThreadCursor) -> Result<i64> {
        let seen = match cursor {
            ThreadCursor::Version(version) => Some(version),
            ThreadCursor::Seq(0) => Some(0),
            ThreadCursor::Seq(seq) => self.message_version(seq),
        };
        seen.filter(|seen| (0..=self.thread.version).contains(seen)).ok_or(Error::InvalidCursor)
    }

    fn message_version(&self, seq: i64) -> Option<i64> {
        self.versions.get(usize::try_from(seq.checked_sub(1)?).ok()?).copied()
    }
}

impl State {
    fn changes(&self, row: &ThreadRow, after: i64, limit: ChangeLimit) -> ChangePage {
        let wanted = usize::try_from(limit.changes).unwrap_or(usize::MAX);
        let said = row.versions.partition_point(|version| *version <= after);
        let messages = row.versions.iter().zip(&row.messages).skip(said).take(wanted);
        let itself = (row.own_version > after).then(|| Change {
            version: row.own_version,
            what: Changed::Thread(Box::new(row.thread.clone())),
        });
        let mut changes: Vec<Change> = itself.into_iter().collect();
        changes.extend(messages.map(|(version, message)| Change {
            version: *version,
            what: Changed::Message(Box::new(message.clone())),
        }));
        let runs = row.runs.iter().filter_map(|run| self.runs.get(run));
        changes.extend(runs.filter(|row| row.version > after).map(|row| Change {
            version: row.version,
            what: Changed::Run(Box::new(row.run.clone())),
        }));
        ChangePage::cut(row.thread.version, changes, limit)
    }

    fn newest_threads(&self, app: AppId, limit: usize) -> Option<NewestThreads> {
        let row = self.apps.get(&app)?;
        let listed = row.threads.iter().rev().take(limit).map(|(_, thread)| *thread);
        let mut runs: Vec<_> = self.runs.values().filter(|row| row.run.app == app).collect();
        runs.sort_by_key(|row| std::cmp::Reverse(row.run.id));
        let threads = listed.chain(runs.into_iter().take(limit).map(|row| row.run.thread));
        let version = |thread| Some((thread, self.threads.get(&thread)?.thread.version));
        Some(threads.filter_map(version).collect())
    }
}

#[async_trait]
impl FeedStore for MemoryStore {
    async fn list_changes(
        &self,
        scope: &Scope,
        app: AppId,
        thread: ThreadId,
        after: ThreadCursor,
        limit: ChangeLimit,
    ) -> Result<ChangePage> {
        self.step(|state, _| {
            let row = state.thread_in(scope, app, thread)?;
            Ok(state.changes(row, row.seen(after)?, limit))
        })
    }

    async fn thread_versions(
        &self,
        scope: &Scope,
        threads: &[ThreadId],
    ) -> Result<HashMap<ThreadId, i64>> {
        self.step(|state, _| {
            let rows = threads.iter().filter_map(|thread| state.thread(scope, *thread).ok());
            Ok(rows.map(|row| (row.thread.id, row.thread.version)).collect())
        })
    }

    async fn newest_threads(
        &self,
        apps: &[AppId],
        limit: u32,
    ) -> Result<HashMap<AppId, NewestThreads>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.step(|state, _| {
            let newest = |app: &AppId| Some((*app, state.newest_threads(*app, limit)?));
            Ok(apps.iter().filter_map(newest).collect())
        })
    }
}
