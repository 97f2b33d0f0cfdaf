//! The start of a run: what stands in its thread is read, and done what the core's plan says.

use nexo_core::{
    Answerer, App, AppConfig, Error, Message, Plan, Run, RunId, Scope, StartRun, StartedRun, Step,
    Stop, Thread, Timestamp,
};

use super::{claim, holder, rows, stop};
use crate::{Tx, apps, columns::corrupt, error, messages, threads};

/// What a wish is about.
struct Asked {
    app: App,
    thread: Thread,
    message: Message,
    holder: Answerer,
}

impl Asked {
    /// The run that the wish makes.
    fn run(&self, wish: &StartRun, now: Timestamp) -> Run {
        let asked = (self.message.id, self.message.seq);
        wish.queued(&self.thread, self.holder.clone(), asked, now)
    }
}

/// Starts a run, or finds the one that answers already.
pub(crate) async fn start(
    mut tx: Tx<'_>,
    scope: Scope,
    wish: StartRun,
) -> error::Result<StartedRun> {
    let asked = ask(&mut tx, &scope, &wish).await?;
    let standing = rows::standing(tx.connection, asked.thread.id).await?;
    let config = AppConfig::read(&asked.app.config);
    let handler = asked.holder.handler.as_deref();
    let plan = wish.plan(&config, asked.message.seq, handler, &standing, tx.now);
    make_way(&mut tx, &plan, &standing).await?;
    match plan.step {
        Step::Refuse => Err(Error::RunActive(wish.thread).into()),
        Step::Outdated => Err(Error::MessageOutdated(wish.thread).into()),
        Step::Join(run) => Ok(StartedRun::Standing(Box::new(found(&standing, run)?))),
        Step::Extend(run, until) => {
            extend(&mut tx, found(&standing, run)?, &asked.message, until).await
        }
        Step::Queue(until) => queue(&mut tx, &wish, &asked, until).await,
        Step::Start => begin(&mut tx, &wish, asked).await,
    }
}

/// Finds out what there is to answer, in the order in which the errors are promised.
async fn ask(tx: &mut Tx<'_>, scope: &Scope, wish: &StartRun) -> error::Result<Asked> {
    let thread = threads::get_in(tx.connection, scope, wish.app, wish.thread).await?;
    if thread.is_held_by_a_person() {
        return Err(Error::ThreadHeld(thread.id).into());
    }
    let message = messages::newest_of_user(tx.connection, thread.id).await?;
    let message = message.ok_or(Error::NoUserMessages(thread.id))?;
    let app = apps::get(tx.connection, tx.keys, scope, wish.app).await?;
    let holder = holder(tx, &thread, &app).await?;
    Ok(Asked { app, thread, message, holder })
}

/// Ends what is queued, and stops what is active, where the wish takes their place.
async fn make_way(tx: &mut Tx<'_>, plan: &Plan, standing: &[Run]) -> error::Result<()> {
    for run in &plan.superseded {
        let run = found(standing, *run)?.stopped(Stop::Supersede, tx.now);
        rows::keep(tx.connection, &run, tx.now).await?;
    }
    if let Some((run, reason)) = plan.stopped {
        stop::mark(tx, found(standing, run)?, reason).await?;
    }
    Ok(())
}

/// A run that a plan names, which it took from what stands.
fn found(standing: &[Run], run: RunId) -> error::Result<Run> {
    let found = standing.iter().find(|standing| standing.id == run);
    found.cloned().ok_or_else(|| corrupt("standing run"))
}

async fn extend(
    tx: &mut Tx<'_>,
    run: Run,
    newest: &Message,
    available_at: Option<Timestamp>,
) -> error::Result<StartedRun> {
    let run = Run { message: newest.id, message_seq: newest.seq, available_at, ..run };
    rows::keep(tx.connection, &run, tx.now).await?;
    Ok(StartedRun::Standing(Box::new(run)))
}

async fn queue(
    tx: &mut Tx<'_>,
    wish: &StartRun,
    asked: &Asked,
    available_at: Option<Timestamp>,
) -> error::Result<StartedRun> {
    let run = Run { available_at, ..asked.run(wish, tx.now) };
    rows::insert(tx.connection, &run, tx.now).await?;
    Ok(StartedRun::Standing(Box::new(run)))
}

/// A run that begins at once is never seen queued: it is claimed before it is stored.
async fn begin(tx: &mut Tx<'_>, wish: &StartRun, asked: Asked) -> error::Result<StartedRun> {
    let (run, holder) = (asked.run(wish, tx.now), asked.holder);
    let run = run.claimed(&wish.claim(), &asked.thread, holder, tx.now);
    let thread = rows::insert(tx.connection, &run, tx.now).await?;
    let begun = claim::tell(tx, run, asked.app, thread, asked.message, wish.history).await?;
    Ok(StartedRun::Started(Box::new(begun)))
}
