//! Starting a run where something stands in its way, or one message is meant: under the thread's
//! lock there is no more doubt about either, and the core's plan says what becomes of the wish.

use nexo_core::{
    AppConfig, Error, MessageId, Plan, Result, Run, Scope, StartRun, StartedRun, Step, Stop,
};
use uuid::Uuid;

use super::{
    load::load,
    locked::{LockedThread, lock},
    save::{insert, save},
};
use crate::{Connection, PostgresStore, error::commit, find, row::Columns};

/// A statement of its own, after the lock, for what was said before it was taken.
const ASKED: &str = "
    select a.config, m.id, m.seq
    from nexo_apps a left join lateral (
        select * from nexo_messages m where m.thread_id = $2 and m.role = 'user'
        order by m.seq desc limit 1
    ) m on true
    where a.id = $1";

/// What a wish is about.
struct Asked {
    config: AppConfig,
    message: MessageId,
    seq: i64,
}

impl PostgresStore {
    pub(super) async fn start_as_planned(
        &self,
        scope: &Scope,
        wish: &StartRun,
    ) -> Result<StartedRun> {
        let mut transaction = self.begin().await?;
        let started = match self.plan_and_do(&mut transaction, scope, wish).await {
            Err(error @ Error::ThreadNotFound(_)) => {
                drop(transaction);
                return Err(self.missing(scope, wish.app, error).await);
            }
            outcome => outcome?,
        };
        commit(transaction).await?;
        Ok(started)
    }

    pub(super) async fn plan_and_do(
        &self,
        connection: &mut Connection,
        scope: &Scope,
        wish: &StartRun,
    ) -> Result<StartedRun> {
        let mut thread = lock(scope, wish.app, wish.thread, connection).await?;
        if thread.thread.is_held_by_a_person() {
            return Err(Error::ThreadHeld(wish.thread));
        }
        let asked = asked(wish, connection).await?;
        let handler = thread.holder.handler.as_deref();
        let plan = wish.plan(&asked.config, asked.seq, handler, &thread.standing, thread.now);
        make_way(&plan, &mut thread)?;
        self.step(plan.step, wish, &asked, thread, connection).await
    }

    async fn step(
        &self,
        step: Step,
        wish: &StartRun,
        asked: &Asked,
        mut thread: LockedThread,
        connection: &mut Connection,
    ) -> Result<StartedRun> {
        let standing = match step {
            Step::Refuse => return Err(Error::RunActive(wish.thread)),
            Step::Outdated => return Err(Error::MessageOutdated(wish.thread)),
            Step::Join(run) => thread.find(run)?,
            Step::Extend(run, available_at) => {
                let (message, message_seq) = (asked.message, asked.seq);
                let run = Run { message, message_seq, available_at, ..thread.find(run)? };
                thread.put(run.clone());
                run
            }
            Step::Queue(available_at) => Run { available_at, ..new_run(wish, asked, &thread) },
            Step::Start => return self.begin_new(wish, asked, &thread, connection).await,
        };
        let is_new = matches!(step, Step::Queue(_));
        save(std::slice::from_ref(&thread), connection).await?;
        if is_new {
            insert(&standing, connection).await?;
        }
        Ok(StartedRun::Standing(Box::new(standing)))
    }

    async fn begin_new(
        &self,
        wish: &StartRun,
        asked: &Asked,
        thread: &LockedThread,
        connection: &mut Connection,
    ) -> Result<StartedRun> {
        let (run, holder) = (new_run(wish, asked, thread), thread.holder.clone());
        let run = run.claimed(&wish.claim(), &thread.thread, holder, thread.now);
        save(std::slice::from_ref(thread), connection).await?;
        insert(&run, connection).await?;
        let rows = load(&[run.id], wish.history, connection).await?;
        let row = rows.first().ok_or(Error::Corrupt("new run"))?;
        Ok(StartedRun::Started(Box::new(self.read_start(&mut Columns::of(row))?)))
    }
}

fn new_run(wish: &StartRun, asked: &Asked, thread: &LockedThread) -> Run {
    let holder = thread.holder.clone();
    wish.queued(&thread.thread, holder, (asked.message, asked.seq), thread.now)
}

async fn asked(wish: &StartRun, connection: &mut Connection) -> Result<Asked> {
    let query = sqlx::query(ASKED).bind(wish.app.as_uuid()).bind(wish.thread.as_uuid());
    let row = find(connection, query).await?.ok_or(Error::AppNotFound(wish.app))?;
    let mut columns = Columns::of(&row);
    let config = AppConfig::read(&columns.object()?);
    let (message, seq): (Option<Uuid>, Option<i64>) = (columns.take()?, columns.take()?);
    let (message, seq) = message.zip(seq).ok_or(Error::NoUserMessages(wish.thread))?;
    Ok(Asked { config, message: MessageId::from_uuid(message), seq })
}

/// What the plan says of the runs that stand already.
fn make_way(plan: &Plan, thread: &mut LockedThread) -> Result<()> {
    for superseded in &plan.superseded {
        let run = thread.find(*superseded)?.stopped(Stop::Supersede, thread.now);
        thread.put(run);
    }
    if let Some((active, stop)) = plan.stopped {
        let run = thread.find(active)?;
        thread.put(Run { stop: run.stop.or(Some(stop)), ..run });
    }
    Ok(())
}
