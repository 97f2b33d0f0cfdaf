//! Events.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{RunRow, State},
};
use crate::{EventStore, FollowRun, FollowedRun, Result, RunId, Segment, Timestamp};

impl RunRow {
    /// What a follower does not know yet, as much of it as may come at once.
    fn segments_after(&self, known: &FollowRun, max_bytes: u32) -> Vec<Segment> {
        let attempt = self.run.attempt;
        let from = if known.attempt == attempt { known.bytes } else { 0 };
        let range = (attempt, from)..=(attempt, u32::MAX);
        let under_way = !self.run.state.is_terminal();
        let (mut left, mut more) = (i64::from(max_bytes), Vec::new());
        for (_, segment) in self.segments.range(range).filter(|_| under_way) {
            left -= i64::try_from(segment.said.text.len()).unwrap_or(i64::MAX);
            if left < 0 && !more.is_empty() {
                break;
            }
            more.push(segment.clone());
        }
        more
    }
}

impl State {
    /// The segments of runs that ended before `end`.
    fn segments_before(&self, end: Timestamp) -> Vec<(RunId, (i32, u32))> {
        let ended = |row: &&RunRow| row.run.finished_at.is_some_and(|at| at < end);
        let ended = self.runs.values().filter(ended);
        ended.flat_map(|row| row.segments.keys().map(|key| (row.run.id, *key))).collect()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append_segments(&self, segments: &[Segment]) -> Result<()> {
        self.step(|state, _| {
            for segment in segments {
                if let Some(row) = state.runs.get_mut(&segment.run) {
                    let key = (segment.attempt, segment.position);
                    row.segments.entry(key).or_insert_with(|| segment.clone());
                }
            }
            Ok(())
        })
    }

    async fn follow_runs(&self, runs: &[FollowRun], max_bytes: u32) -> Result<Vec<FollowedRun>> {
        self.step(|state, _| {
            let mut followed: Vec<FollowedRun> = runs
                .iter()
                .filter_map(|known| Some((state.runs.get(&known.run)?, known)))
                .map(|(row, known)| FollowedRun {
                    run: row.run.clone(),
                    segments: row.segments_after(known, max_bytes),
                })
                .collect();
            followed.sort_by_key(|followed| followed.run.id);
            Ok(followed)
        })
    }

    async fn prune_segments(&self, age: Duration, limit: u32) -> Result<u64> {
        self.step(|state, now| {
            let mut old = state.segments_before(now.minus(age));
            old.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            for (run, key) in &old {
                if let Some(row) = state.runs.get_mut(run) {
                    row.segments.remove(key);
                }
            }
            Ok(old.len() as u64)
        })
    }
}
