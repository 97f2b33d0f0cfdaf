//! Starting a run where nothing is in its way, and joining the one that stands already.
//!
//! These are what happens most of the time. For everything else see the module `planned`.

use nexo_core::{
    AppConfig, Error, JsonObject, Result, Run, RunStart, Scope, StartRun, StartedRun, Step,
    ThreadId,
};
use sqlx::postgres::PgRow;

use super::{
    load::{history, start_columns},
    locked::{read_standing, standing_query},
    run_columns,
};
use crate::{
    Connection, PostgresStore, SqlQuery,
    agents::agent_columns,
    apps::app_columns,
    find,
    messages::message_columns,
    row::{Columns, bounded, interval},
    scoped,
    servers::names,
    threads::thread_columns,
};

/// One statement, so one round trip and one commit.
///
/// The thread's row is locked first; whoever waited for it reads it anew. So a thread that a
/// person took over meanwhile gets no run, one that was deleted is not found, and the epoch is
/// the present one. Whether a run is active is decided by the unique index, which `on
/// conflict` looks into as it is now.
///
/// Messages and queued runs, in contrast, are read as they were when the statement began, as is
/// the thread's row in `seen`. Each of their changes raises the thread's version. So if one came
/// while the statement waited, the locked row's version is not the one seen: nothing is made
/// then, and the caller looks again under the lock.
///
/// A run may begin at once unless it is to wait for a burst of messages to end. The app says
/// whether, if the wish does not; its configuration is asked as text, since taking it apart
/// would fail where it has a U+0000, and where the name may be in it, however escaped, in
/// whatever place, that is left to whoever reads it properly.
const START: &str = concat!(
    "with seen as (
        select t.version from nexo_threads t where t.id = $5
    ), t as (
        select t.id, t.app_id, t.epoch, t.version, t.holder_human,
            coalesce(t.holder_agent_id, a.default_agent_id) as agent_id,
            coalesce($10::boolean, a.config::text !~ 'debounce_ms|\\\\u00[5-7]') as at_once
        from nexo_threads t join nexo_apps a on a.id = t.app_id
        where t.id = $5 and t.app_id = $4 and ",
    sees_app!("a"),
    " and ",
    sees_subscriber!("t.subscriber_id"),
    " for no key update of t
    ), m as (
        select m.* from t join nexo_messages m on m.thread_id = t.id
        where m.role = 'user' order by m.seq desc limit 1
    ), g as (
        select g.* from t join nexo_agents g on g.id = t.agent_id and g.app_id = t.app_id
    ), r as (
        insert into nexo_runs (id, app_id, thread_id, agent_id, handler, message_id, message_seq,
            state, attempt, fence, epoch, server_id, version, created_at, started_at, deadline_at)
        select $6, t.app_id, t.id, g.id, g.handler, m.id, m.seq, 'running',
            1, 1, t.epoch, $7, t.version + 1, now(), now(), now() + $9
        from t cross join m cross join g
        where t.holder_human is null and t.at_once and t.version = (select version from seen)
            and (g.handler is null or g.handler = any($11)) and not exists (
                select 1 from nexo_runs q where q.thread_id = t.id and q.state = 'queued'
            )
        on conflict (thread_id) where state in ('running', 'waiting') do nothing
        returning *
    ), raised as (
        update nexo_threads t set version = r.version from r where t.id = r.thread_id
        returning t.*
    )
    select t.holder_human is not null, (select m.seq from m), ",
    start_columns!("raised"),
    " from t
    left join r on true
    left join raised on true
    left join nexo_apps a on a.id = r.app_id
    left join g on g.id = r.agent_id
    left join m on m.id = r.message_id ",
    history!("$8")
);

impl PostgresStore {
    pub(super) async fn start(&self, scope: &Scope, wish: StartRun) -> Result<StartedRun> {
        let wish = storable_wish(wish);
        if wish.message_seq.is_some() {
            // Rarely wished for, and nothing that START could tell.
            return self.start_as_planned(scope, &wish).await;
        }
        let Some(row) = self.write_optional(query(scope, &wish)).await? else {
            let error = Error::ThreadNotFound(wish.thread);
            return Err(self.missing(scope, wish.app, error).await);
        };
        match self.read_outcome(&row, wish.thread)? {
            Outcome::Made(made) => Ok(StartedRun::Started(made)),
            Outcome::Not(newest) => match self.join(&wish, newest).await? {
                Some(run) => Ok(StartedRun::Standing(Box::new(run))),
                None => self.start_as_planned(scope, &wish).await,
            },
        }
    }

    /// Starts a run within a transaction of the caller's.
    pub(crate) async fn start_within(
        &self,
        connection: &mut Connection,
        scope: &Scope,
        wish: StartRun,
    ) -> Result<StartedRun> {
        let wish = storable_wish(wish);
        let row = find(connection, query(scope, &wish)).await?;
        match self.read_outcome(&row.ok_or(Error::ThreadNotFound(wish.thread))?, wish.thread)? {
            Outcome::Made(made) => Ok(StartedRun::Started(made)),
            Outcome::Not(_) => self.plan_and_do(connection, scope, &wish).await,
        }
    }

    /// The run that answers the newest message already, or will. No lock is needed to find it:
    /// it was made after START looked, or before.
    async fn join(&self, wish: &StartRun, newest: Option<i64>) -> Result<Option<Run>> {
        let Some(newest) = newest else { return Ok(None) };
        let rows = self.read_all(standing_query(&[wish.thread])).await?;
        let (now, mut standing) = read_standing(&rows)?;
        // What the app wants and its agent needs matters only where there is nothing to join.
        let config = AppConfig::read(&JsonObject::empty());
        let Step::Join(run) = wish.plan(&config, newest, None, &standing, now).step else {
            return Ok(None);
        };
        standing.retain(|standing| standing.id == run);
        Ok(standing.pop())
    }

    fn read_outcome(&self, row: &PgRow, thread: ThreadId) -> Result<Outcome> {
        let mut columns = Columns::of(row);
        let (held, newest): (bool, Option<i64>) = (columns.take()?, columns.take()?);
        if held {
            return Err(Error::ThreadHeld(thread));
        }
        if columns.is_absent()? {
            return Ok(Outcome::Not(newest));
        }
        Ok(Outcome::Made(Box::new(self.read_start(&mut columns)?)))
    }
}

/// What became of START.
enum Outcome {
    Made(Box<RunStart>),
    /// Nothing was made; this was the newest user message's `seq`, if there was one.
    Not(Option<i64>),
}

/// The wish, with times that the database can hold.
fn storable_wish(wish: StartRun) -> StartRun {
    StartRun { deadline: bounded(wish.deadline), debounce: wish.debounce.map(bounded), ..wish }
}

fn query(scope: &Scope, wish: &StartRun) -> SqlQuery<'static> {
    scoped(START, scope)
        .bind(wish.app.as_uuid())
        .bind(wish.thread.as_uuid())
        .bind(wish.run.as_uuid())
        .bind(wish.server.as_uuid())
        .bind(i64::from(wish.history))
        .bind(interval(wish.deadline))
        .bind(wish.debounce.map(|debounce| debounce.is_zero()))
        .bind(names(&wish.handlers))
}
