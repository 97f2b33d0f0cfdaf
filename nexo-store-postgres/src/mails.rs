//! Mails on their way out.

use std::time::Duration;

use async_trait::async_trait;
use nexo_core::{
    Error, MailId, Result,
    accounts::{Mail, MailKind, MailStore, email_key},
};
use sqlx::postgres::PgRow;

use crate::{
    PostgresStore,
    row::{Columns, interval},
    users::{read_user, user_columns},
};

/// Where nobody gets a mail, a row is written all the same, into a table from which it is
/// swept soon: a commit that writes nothing is quicker, and would tell who has an account. The
/// lock keeps the user until the mail refers to them.
const QUEUE: &str = "
    with u as (
        select id from nexo_users
        where email_key = $2 and is_active and ($3 <> $4 or not is_verified)
        for key share
    ), nobody as (
        insert into nexo_limits (key, full_at)
        select 'no mail ' || $1, now() where not exists (select 1 from u)
    )
    insert into nexo_mails (id, user_id, kind, available_at, created_at)
    select $1, u.id, $3, now(), now() from u";

/// `skip locked` hands different mails to those who claim at once.
const CLAIM: &str = concat!(
    "with due as (
        select id, available_at from nexo_mails where available_at <= now()
        order by available_at, id limit $1
        for update skip locked
    ), claimed as (
        update nexo_mails m set attempt = m.attempt + 1, available_at = now() + $2
        from due where m.id = due.id
        returning m.id, m.kind, m.attempt, m.user_id, due.available_at as due_at
    )
    select c.id, c.kind, c.attempt, ",
    user_columns!("u"),
    " from claimed c join nexo_users u on u.id = c.user_id
    order by c.due_at, c.id"
);

const POSTPONE: &str = "update nexo_mails set available_at = now() + $2 where id = $1";

const REMOVE: &str = "delete from nexo_mails where id = $1";

#[async_trait]
impl MailStore for PostgresStore {
    async fn queue_mail(&self, email: &str, kind: MailKind) -> Result<()> {
        let query = sqlx::query(QUEUE)
            .bind(MailId::new().as_uuid())
            .bind(email_key(email))
            .bind(kind.as_str())
            .bind(MailKind::VerifyEmail.as_str());
        self.write(query).await.map(drop)
    }

    async fn claim_mails(&self, limit: u32, lease: Duration) -> Result<Vec<Mail>> {
        let query = sqlx::query(CLAIM).bind(i64::from(limit)).bind(interval(lease));
        let rows = self.write_all(query).await?;
        rows.iter().map(read_mail).collect()
    }

    async fn postpone_mail(&self, mail: MailId, delay: Duration) -> Result<()> {
        let query = sqlx::query(POSTPONE).bind(mail.as_uuid()).bind(interval(delay));
        self.write(query).await.map(drop)
    }

    async fn remove_mail(&self, mail: MailId) -> Result<()> {
        self.write(sqlx::query(REMOVE).bind(mail.as_uuid())).await.map(drop)
    }
}

fn read_mail(row: &PgRow) -> Result<Mail> {
    let mut columns = Columns::of(row);
    let id = MailId::from_uuid(columns.take()?);
    let kind = read_kind(columns.take()?)?;
    let attempt = columns.take()?;
    Ok(Mail { id, kind, attempt, user: read_user(&mut columns)? })
}

fn read_kind(name: &str) -> Result<MailKind> {
    MailKind::find(name).ok_or(Error::Corrupt("kind of a mail"))
}
