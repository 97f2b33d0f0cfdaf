//! Starting a run.

use nexo_core::{
    Error, JsonObject, Message, MessageId, Result, RunStart, Scope, StartRun, StartedRun, ThreadId,
    Timestamp,
};
use sqlx::{PgConnection, postgres::PgRow, types::Json};

use super::{read_run, run_columns};
use crate::{
    PostgresStore, SqlQuery,
    agents::agent_columns,
    apps::app_columns,
    error::commit,
    find,
    messages::{message_columns, read_message, read_role},
    row::{Columns, interval},
    scoped,
    threads::{read_thread, thread_columns},
};

/// One statement, so one round trip and one commit.
///
/// The thread's row is locked first; whoever waited for it reads it anew. So a thread that a
/// person took over meanwhile gets no run, one that was deleted is not found, and the epoch is
/// the present one. Whether a run is active is decided by the unique index, which `on
/// conflict` looks into as it is now.
///
/// Messages, in contrast, are read as they were when the statement began. If one was appended
/// while it waited, such as the reply of the run before, then the thread's last `seq` is not
/// among them: nothing is made then, and the caller looks again under the lock.
const START: &str = concat!(
    "with t as (
        select t.id, t.app_id, t.epoch, t.version, t.next_seq, t.holder_human,
            coalesce(t.holder_agent_id, a.default_agent_id) as agent_id
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
        insert into nexo_runs (id, app_id, thread_id, agent_id, message_id, message_seq, state,
            attempt, fence, epoch, server_id, version, created_at, started_at, deadline_at)
        select $6, t.app_id, t.id, g.id, m.id, m.seq, 'running',
            1, 1, t.epoch, $7, t.version + 1, now(), now(), now() + $9
        from t cross join m cross join g
        where t.holder_human is null and exists (
            select 1 from nexo_messages last
            where last.thread_id = t.id and last.seq = t.next_seq - 1
        )
        on conflict (thread_id) where state in ('running', 'waiting') do nothing
        returning *
    ), raised as (
        update nexo_threads t set version = r.version from r where t.id = r.thread_id
        returning t.*
    )
    select t.holder_human is not null,
        exists (select 1 from g),
        exists (select 1 from m), ",
    run_columns!("r"),
    ", ",
    app_columns!("a"),
    ", ",
    agent_columns!("g"),
    ", ",
    thread_columns!("raised"),
    ", ",
    message_columns!("m"),
    ", history.messages
    from t
    left join r on true
    left join raised on true
    left join nexo_apps a on a.id = r.app_id
    left join g on g.id = r.agent_id
    left join m on m.id = r.message_id
    left join lateral (
        select json_agg(
            json_build_array(h.id, h.seq, h.role, h.content, h.content_json,
                (extract(epoch from h.created_at) * 1000000)::bigint)
            order by h.seq
        ) as messages
        from (
            select * from nexo_messages h where h.thread_id = r.thread_id
            order by h.seq desc limit $8
        ) h
    ) history on r.id is not null"
);

const ACTIVE: &str = concat!(
    "select ",
    run_columns!("r"),
    " from nexo_runs r where r.thread_id = $1 and r.state in ('running', 'waiting')"
);

/// After this, nobody else starts or ends a run of the thread, or says anything in it.
const LOCK: &str = "select 1 from nexo_threads where id = $1 for no key update";

impl PostgresStore {
    pub(super) async fn start(&self, scope: &Scope, start: &StartRun) -> Result<StartedRun> {
        let Some(row) = self.write_optional(query(scope, start)).await? else {
            let error = Error::ThreadNotFound(start.thread);
            return Err(self.missing(scope, start.app, error).await);
        };
        match self.read_outcome(&row, start.thread)? {
            Outcome::Made(made) => Ok(StartedRun::Started(made)),
            Outcome::Not(_) => {
                let active = sqlx::query(ACTIVE).bind(start.thread.as_uuid());
                match self.read_optional(active).await? {
                    Some(row) => read_active(&row),
                    None => self.start_under_lock(scope, start).await,
                }
            }
        }
    }

    /// The rare case: nothing was made, and yet no run is active. Under the thread's lock
    /// there is no more doubt: either a run is active, or one is made, or can't be.
    async fn start_under_lock(&self, scope: &Scope, start: &StartRun) -> Result<StartedRun> {
        let mut transaction = self.begin().await?;
        for_thread(LOCK, start.thread, &mut transaction).await?;
        if let Some(row) = for_thread(ACTIVE, start.thread, &mut transaction).await? {
            return read_active(&row);
        }
        let row = find(&mut transaction, query(scope, start))
            .await?
            .ok_or(Error::ThreadNotFound(start.thread))?;
        match self.read_outcome(&row, start.thread)? {
            Outcome::Made(made) => {
                commit(transaction).await?;
                Ok(StartedRun::Started(made))
            }
            Outcome::Not(reason) => Err(reason),
        }
    }

    fn read_outcome(&self, row: &PgRow, thread: ThreadId) -> Result<Outcome> {
        let mut columns = Columns::of(row);
        let (held, has_agent, has_message): (bool, bool, bool) =
            (columns.take()?, columns.take()?, columns.take()?);
        if held {
            return Err(Error::ThreadHeld(thread));
        }
        if !columns.is_absent()? {
            return Ok(Outcome::Made(Box::new(self.read_start(&mut columns)?)));
        }
        Ok(Outcome::Not(if !has_message {
            Error::NoUserMessages(thread)
        } else if !has_agent {
            Error::AgentNotFound
        } else {
            Error::Conflict("run is active")
        }))
    }

    fn read_start(&self, columns: &mut Columns<'_>) -> Result<RunStart> {
        let run = read_run(columns)?;
        let thread = run.thread;
        Ok(RunStart {
            run,
            app: self.read_app(columns)?,
            agent: self.read_agent(columns)?,
            thread: read_thread(columns)?,
            message: read_message(columns)?,
            history: read_history(thread, columns)?,
        })
    }
}

/// What became of START.
enum Outcome {
    Made(Box<RunStart>),
    /// Nothing was made: for this reason, unless a run is active.
    Not(Error),
}

fn query(scope: &Scope, start: &StartRun) -> SqlQuery<'static> {
    scoped(START, scope)
        .bind(start.app.as_uuid())
        .bind(start.thread.as_uuid())
        .bind(start.run.as_uuid())
        .bind(start.server.as_uuid())
        .bind(i64::from(start.history))
        .bind(interval(start.deadline))
}

async fn for_thread(
    sql: &'static str,
    thread: ThreadId,
    connection: &mut PgConnection,
) -> Result<Option<PgRow>> {
    find(connection, sqlx::query(sql).bind(thread.as_uuid())).await
}

fn read_active(row: &PgRow) -> Result<StartedRun> {
    Ok(StartedRun::Active(Box::new(read_run(&mut Columns::of(row))?)))
}

/// A message as START packs it: id, `seq`, role, text, data, and when, in microseconds.
type Packed = (MessageId, i64, String, Option<String>, JsonObject, i64);

fn read_history(thread: ThreadId, columns: &mut Columns<'_>) -> Result<Vec<Message>> {
    let packed: Option<Json<Vec<Packed>>> = columns.take()?;
    let packed = packed.map(|Json(packed)| packed).unwrap_or_default();
    packed.into_iter().map(|packed| unpack(thread, packed)).collect()
}

fn unpack(thread: ThreadId, packed: Packed) -> Result<Message> {
    let (id, seq, role, content, content_json, micros) = packed;
    let role = read_role(&role)?;
    let created_at = Timestamp::from_micros(micros);
    Ok(Message { id, thread, seq, role, content, content_json, created_at })
}
