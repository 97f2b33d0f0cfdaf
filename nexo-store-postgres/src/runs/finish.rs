//! Ending a run, with its reply.

use nexo_core::{
    AppId, Error, FinishRun, FinishedRun, MessageId, Result, Role, Scope, ThreadId, Timestamp,
    preview, storable,
};

use super::{locked::lock, save::save};
use crate::messages::{message_columns, read_message};
use crate::{PostgresStore, SqlQuery, error::commit, row::Columns};

/// One statement, so one round trip and one commit.
///
/// The thread is locked before its run is, and both are read anew by whoever waited: the fence,
/// the state and the epochs that are compared are the present ones, and everything else
/// depends on that comparison. The reply's `seq` comes from the thread's row under that lock.
///
/// Each of the three has a version of its own: the reply, the run, and the one that is released.
///
/// The oldest run behind this one becomes due, unless another is. Those runs, in contrast, are
/// read as they were when the statement began, as is the thread's row in `seen`: if the locked
/// row's version is another, one may have been queued meanwhile, and the caller looks again.
const FINISH: &str = concat!(
    "with seen as (
        select t.version
        from nexo_runs r join nexo_threads t on t.id = r.thread_id
        where r.id = $1
    ), t as (
        select t.id, t.epoch, t.version
        from nexo_runs r join nexo_threads t on t.id = r.thread_id
        where r.id = $1
        for no key update of t
    ), r as (
        update nexo_runs r
        set state = $3, failure_key = $4, failure_detail = $5, first_delta_at = $6, reply_id = $7,
            version = t.version + case when $7::uuid is null then 1 else 2 end,
            finished_at = greatest(r.created_at, now())
        from t
        where r.id = $1 and r.thread_id = t.id and r.fence = $2
            and r.state in ('running', 'waiting') and r.epoch = t.epoch
        returning r.id, r.app_id, r.thread_id, r.version,
            t.version = (select version from seen) as is_fresh
    ), released as (
        update nexo_runs q
        set available_at = now(), version = r.version + 1
        from r
        where r.is_fresh and q.state = 'queued' and q.available_at is null and q.id = (
            select w.id from nexo_runs w
            where w.thread_id = r.thread_id and w.state = 'queued' and w.available_at is null
            order by w.id limit 1
        ) and not exists (
            select 1 from nexo_runs w
            where w.thread_id = r.thread_id and w.state = 'queued' and w.available_at <= now()
        )
        returning q.id
    ), raised as (
        update nexo_threads t
        set version = r.version + (select count(*) from released),
            next_seq = t.next_seq + case when $7::uuid is null then 0 else 1 end,
            updated_at =
                case when $7::uuid is null then t.updated_at else greatest(t.updated_at, now()) end,
            last_message_at =
                case when $7::uuid is null then t.last_message_at
                else greatest(t.updated_at, now()) end,
            last_message_preview =
                case when $7::uuid is null then t.last_message_preview else $10 end
        from r
        where t.id = r.thread_id
        returning t.id, t.next_seq - 1 as seq, t.updated_at
    ), m as (
        insert into nexo_messages (id, app_id, thread_id, seq, role, content, content_json, run_id,
            version, created_at)
        select $7, r.app_id, raised.id, raised.seq, $11, $8, $9::json, r.id, r.version - 1,
            raised.updated_at
        from raised join r on r.thread_id = raised.id
        where $7::uuid is not null
        returning *
    )
    select exists (select 1 from released), r.is_fresh, r.app_id, r.thread_id, ",
    message_columns!("m"),
    " from r left join m on true"
);

impl PostgresStore {
    pub(super) async fn finish(&self, finish: &FinishRun) -> Result<FinishedRun> {
        let row = self.write_optional(query(finish)).await?.ok_or(Error::Fenced)?;
        let mut columns = Columns::of(&row);
        let (mut released, is_fresh): (bool, bool) = (columns.take()?, columns.take()?);
        let app = AppId::from_uuid(columns.take()?);
        let thread = ThreadId::from_uuid(columns.take()?);
        let reply = if columns.is_absent()? { None } else { Some(read_message(&mut columns)?) };
        if !is_fresh {
            // The run has ended, whatever comes of this: a sweep makes good for it.
            released = self.release_behind(app, thread).await.unwrap_or(false);
        }
        Ok(FinishedRun { reply, released })
    }

    /// The rare case: the thread changed while FINISH waited for it. Under the lock there is no
    /// more doubt about what is behind the run that has ended.
    async fn release_behind(&self, app: AppId, thread: ThreadId) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let mut thread = lock(&Scope::Everything, app, thread, &mut transaction).await?;
        let released = thread.release_next().is_some();
        save(&[thread], &mut transaction).await?;
        commit(transaction).await?;
        Ok(released)
    }
}

fn query(finish: &FinishRun) -> SqlQuery<'static> {
    let failure = finish.failure.as_ref();
    let reply = finish.reply.as_ref();
    let content = reply.map(|reply| storable(&reply.content));
    sqlx::query(FINISH)
        .bind(finish.run.as_uuid())
        .bind(finish.fence)
        .bind(finish.state.as_str())
        .bind(failure.map(|failure| failure.kind.key()))
        .bind(failure.map(|failure| storable(&failure.detail)))
        .bind(finish.first_delta_at.map(Timestamp::as_datetime))
        .bind(reply.map(|_| MessageId::new().as_uuid()))
        .bind(content.as_deref())
        .bind(reply.map(|reply| reply.content_json.as_str()))
        .bind(content.as_deref().map(preview))
        .bind(Role::Assistant.as_str())
}
