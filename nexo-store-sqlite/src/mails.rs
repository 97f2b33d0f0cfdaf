//! Mails that wait to be sent.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    MailId, Result, Timestamp,
    accounts::{Mail, MailKind, MailStore, email_key},
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::{SqliteStore, Tx, columns::Columns, error, users};

/// Whether there is such a user shows in nothing but the mail.
const QUEUE: &str = "
    insert into nexo_mails (id, user_id, kind, available_at, created_at)
    select ?1, id, ?3, ?4, ?4 from nexo_users
    where email_key = ?2 and is_active and not (?3 = 'verify_email' and is_verified)";

/// A transaction that wrote nothing would not wait for the disk, and be told by its speed. So
/// each leaves a mark, in the table whose stale rows are swept.
const LEAVE_MARK: &str = "
    insert into nexo_limits (key, full_at) values ('mails', ?1)
    on conflict (key) do update set full_at = excluded.full_at";

pub(crate) const DUE: &str = "
    select id from nexo_mails where available_at <= ?1 order by available_at, id limit ?2";

const CLAIM: &str = "
    update nexo_mails set attempt = attempt + 1, available_at = ?2 where id = ?1";

const CLAIMED: &str = "
    select m.id as mail_id, m.kind, m.attempt, u.*
    from nexo_mails m join nexo_users u on u.id = m.user_id
    where m.id = ?1";

const POSTPONE: &str = "update nexo_mails set available_at = ?2 where id = ?1";

const REMOVE: &str = "delete from nexo_mails where id = ?1";

#[async_trait]
impl MailStore for SqliteStore {
    async fn queue_mail(&self, email: &str, kind: MailKind) -> Result<()> {
        let key = email_key(email);
        self.write(move |tx| Box::pin(queue(tx, key, kind))).await
    }

    async fn claim_mails(&self, limit: u32, lease: Duration) -> Result<Vec<Mail>> {
        self.write(move |tx| Box::pin(claim(tx, limit, lease))).await
    }

    async fn postpone_mail(&self, mail: MailId, delay: Duration) -> Result<()> {
        self.write(move |tx| Box::pin(postpone(tx, mail, delay))).await
    }

    async fn remove_mail(&self, mail: MailId) -> Result<()> {
        self.write(move |tx| Box::pin(remove(tx, mail))).await
    }
}

async fn queue(tx: Tx<'_>, key: String, kind: MailKind) -> error::Result<()> {
    sqlx::query(QUEUE)
        .bind(MailId::new().as_uuid())
        .bind(key)
        .bind(kind.as_str())
        .bind(tx.now.as_micros())
        .execute(&mut *tx.connection)
        .await?;
    sqlx::query(LEAVE_MARK).bind(tx.now.as_micros()).execute(tx.connection).await?;
    Ok(())
}

async fn claim(tx: Tx<'_>, limit: u32, lease: Duration) -> error::Result<Vec<Mail>> {
    let due = sqlx::query(DUE).bind(tx.now.as_micros()).bind(limit);
    let due = due.fetch_all(&mut *tx.connection).await?;
    let mut mails = Vec::with_capacity(due.len());
    for row in due {
        let mail = row.id("id", MailId::from_uuid)?;
        set_due(&mut *tx.connection, CLAIM, mail, tx.now.plus(lease)).await?;
        let claimed = sqlx::query(CLAIMED).bind(mail.as_uuid());
        mails.push(read(&claimed.fetch_one(&mut *tx.connection).await?)?);
    }
    Ok(mails)
}

async fn postpone(tx: Tx<'_>, mail: MailId, delay: Duration) -> error::Result<()> {
    set_due(tx.connection, POSTPONE, mail, tx.now.plus(delay)).await
}

async fn set_due(
    connection: &mut sqlx::SqliteConnection,
    statement: &'static str,
    mail: MailId,
    due: Timestamp,
) -> error::Result<()> {
    let set = sqlx::query(statement).bind(mail.as_uuid()).bind(due.as_micros());
    set.execute(connection).await?;
    Ok(())
}

async fn remove(tx: Tx<'_>, mail: MailId) -> error::Result<()> {
    sqlx::query(REMOVE).bind(mail.as_uuid()).execute(tx.connection).await?;
    Ok(())
}

fn read(row: &SqliteRow) -> error::Result<Mail> {
    Ok(Mail {
        id: row.id("mail_id", MailId::from_uuid)?,
        kind: row.name("kind", MailKind::find)?,
        user: users::read(row)?,
        attempt: row.try_get("attempt")?,
    })
}
