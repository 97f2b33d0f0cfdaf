//! What an agent has to know of a run that begins: read the same way wherever one does.

use nexo_core::{
    Error, JsonObject, Message, MessageId, Result, RunId, RunStart, ThreadId, Timestamp,
};
use sqlx::{postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{read_run, run_columns};
use crate::{
    Connection, PostgresStore,
    agents::agent_columns,
    apps::app_columns,
    find_all,
    messages::{message_columns, read_message, read_role},
    row::Columns,
    threads::{read_thread, thread_columns},
};

/// What read_start() reads, in its order, after `start_joins!`.
macro_rules! start_columns {
    ($thread:literal) => {
        concat!(
            run_columns!("r"),
            ", ",
            app_columns!("a"),
            ", ",
            agent_columns!("g"),
            ", ",
            thread_columns!($thread),
            ", ",
            message_columns!("m"),
            ", history.messages, now()"
        )
    };
}
pub(super) use start_columns;

/// The newest messages of the thread of the run `r`: at most as many as `$limit` says.
macro_rules! history {
    ($limit:literal) => {
        concat!(
            "left join lateral (
                select json_agg(
                    json_build_array(h.id, h.seq, h.role, h.content, h.content_json,
                        (extract(epoch from h.created_at) * 1000000)::bigint)
                    order by h.seq
                ) as messages
                from (
                    select * from nexo_messages h where h.thread_id = r.thread_id
                    order by h.seq desc limit ",
            $limit,
            "
                ) h
            ) history on r.id is not null"
        )
    };
}
pub(super) use history;

/// A row for each of the runs, in their order. Read after they were saved, under the locks.
const LOAD: &str = concat!(
    "select ",
    start_columns!("t"),
    " from unnest($1::uuid[]) with ordinality as wanted (id, place)
    join nexo_runs r on r.id = wanted.id
    join nexo_threads t on t.id = r.thread_id
    join nexo_apps a on a.id = r.app_id
    left join nexo_agents g on g.id = r.agent_id and g.app_id = r.app_id
    left join nexo_messages m on m.id = r.message_id ",
    history!("$2"),
    " order by wanted.place"
);

pub(super) async fn load(
    runs: &[RunId],
    history: u32,
    connection: &mut Connection,
) -> Result<Vec<PgRow>> {
    let runs: Vec<Uuid> = runs.iter().map(|run| run.as_uuid()).collect();
    find_all(connection, sqlx::query(LOAD).bind(runs).bind(i64::from(history))).await
}

impl PostgresStore {
    pub(super) fn read_start(&self, columns: &mut Columns<'_>) -> Result<RunStart> {
        let run = read_run(columns)?;
        let app = self.read_app(columns)?;
        if columns.is_absent()? {
            return Err(Error::AgentNotFound);
        }
        let (agent, thread) = (self.read_agent(columns)?, read_thread(columns)?);
        if columns.is_absent()? {
            return Err(Error::Corrupt("answered message"));
        }
        let (message, history) = (read_message(columns)?, read_history(thread.id, columns)?);
        let time_left = run.time_left(columns.time()?);
        Ok(RunStart { run, app, agent, thread, message, history, time_left })
    }
}

/// A message as `history!` packs it: id, `seq`, role, text, data, and when, in microseconds.
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
