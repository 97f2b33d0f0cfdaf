-- Everything that conversations and accounts need. Every table below an app carries app_id,
-- as on every other store. Ids are the 16 bytes of a UUID, instants are microseconds since
-- the Unix epoch, JSON is kept as its text.

create table nexo_settings (
    name text primary key,
    value text not null
) strict;

create table nexo_servers (
    id blob primary key,
    started_at integer not null,
    beat_at integer not null,
    draining integer not null default 0 check (draining in (0, 1))
) strict;

-- Accounts ------------------------------------------------------------------------------

create table nexo_users (
    id blob primary key,
    email text not null,
    email_key text not null constraint nexo_users_email unique, -- lower case, made in Rust
    hashed_password text not null,
    is_active integer not null check (is_active in (0, 1)),
    is_superuser integer not null check (is_superuser in (0, 1)),
    is_verified integer not null check (is_verified in (0, 1)),
    locale text not null,
    token_epoch integer not null default 0,
    created_at integer not null
) strict;

create table nexo_sessions (
    id blob primary key,
    user_id blob not null references nexo_users on delete cascade,
    digest blob not null unique, -- SHA-256 of the token in the browser's cookie
    created_at integer not null,
    expires_at integer not null
) strict;
create index nexo_sessions_user on nexo_sessions (user_id);

create table nexo_mails (
    id blob primary key,
    user_id blob not null references nexo_users on delete cascade,
    kind text not null,
    attempt integer not null default 0,
    available_at integer not null,
    created_at integer not null
) strict;
create index nexo_mails_due on nexo_mails (available_at, id);
create index nexo_mails_user on nexo_mails (user_id);

create table nexo_limits (
    key text primary key,
    full_at integer not null -- when the allowance is whole again
) strict;
create index nexo_limits_full on nexo_limits (full_at);

-- Apps ----------------------------------------------------------------------------------

create table nexo_apps (
    id blob primary key,
    owner text not null, -- whatever the authenticator calls them; no foreign key
    name text not null,
    description text,
    webhook_url text,
    webhook_secret text,  -- sealed
    previous_secret text, -- sealed
    previous_secret_expires_at integer,
    config text not null, -- verbatim
    default_agent_id blob not null,
    created_at integer not null,
    updated_at integer not null
) strict;
create index nexo_apps_owner on nexo_apps (owner, created_at, id);
create index nexo_apps_ending on nexo_apps (previous_secret_expires_at)
    where previous_secret_expires_at is not null;

create table nexo_agents (
    id blob primary key,
    app_id blob not null references nexo_apps on delete cascade,
    name text not null,
    kind text not null,
    config text not null,
    secret text, -- sealed
    grants text not null,
    created_at integer not null,
    updated_at integer not null,
    constraint nexo_agents_name unique (app_id, name)
) strict;

create table nexo_keys (
    id blob primary key,
    app_id blob not null references nexo_apps on delete cascade,
    name text not null,
    digest blob not null,
    scopes text not null,
    created_at integer not null,
    expires_at integer
) strict;
create index nexo_keys_app on nexo_keys (app_id);
create index nexo_keys_ending on nexo_keys (expires_at) where expires_at is not null;

-- Conversations -------------------------------------------------------------------------

create table nexo_subscribers (
    id blob primary key,
    app_id blob not null references nexo_apps on delete cascade,
    customer_id text not null,
    display_name text,
    search text not null, -- both names in Rust's lower case
    metadata text not null,
    created_at integer not null,
    last_seen_at integer,
    last_message_at integer,
    -- Never null, so that a page can be sought by comparing rows: who never spoke comes last.
    spoke_at integer not null generated always as (coalesce(last_message_at, -1)) virtual,
    constraint nexo_subscribers_customer unique (app_id, customer_id)
) strict;
create index nexo_subscribers_list
    on nexo_subscribers (app_id, spoke_at desc, created_at desc, id desc);

create table nexo_threads (
    id blob primary key,
    app_id blob not null references nexo_apps on delete cascade,
    subscriber_id blob references nexo_subscribers on delete set null,
    title text,
    status text not null,
    customer_id text,
    next_seq integer not null default 1,
    holder_agent_id blob, -- null: the app's default agent
    holder_human text,    -- who took over; agents are paused then
    epoch integer not null default 0,
    version integer not null default 0,
    last_message_at integer,
    last_message_preview text,
    created_at integer not null,
    updated_at integer not null
) strict;
create index nexo_threads_list on nexo_threads (app_id, updated_at desc, id desc);
create index nexo_threads_customer on nexo_threads (app_id, customer_id, updated_at desc, id desc);
create index nexo_threads_subscriber on nexo_threads (subscriber_id, updated_at desc, id desc);
create index nexo_threads_newest on nexo_threads (subscriber_id, last_message_at desc, id desc);

create table nexo_messages (
    id blob primary key,
    app_id blob not null,
    thread_id blob not null references nexo_threads on delete cascade,
    seq integer not null,
    role text not null,
    content text,
    content_json text not null,
    run_id blob, -- the run whose reply it is
    version integer not null,
    created_at integer not null,
    constraint nexo_messages_seq unique (thread_id, seq)
) strict;
-- A run speaks once.
create unique index nexo_messages_run on nexo_messages (run_id) where run_id is not null;
create index nexo_messages_user on nexo_messages (thread_id, seq desc) where role = 'user';

create table nexo_runs (
    id blob primary key,
    app_id blob not null,
    thread_id blob not null references nexo_threads on delete cascade,
    agent_id blob not null,
    handler text, -- the in-process handler it needs; null for built-in kinds
    message_id blob not null,
    message_seq integer not null,
    state text not null,
    attempt integer not null,
    fence integer not null,
    epoch integer not null,
    server_id blob,
    reply_id blob,
    failure_key text,
    failure_detail text,
    kept text,  -- what an agent said that was not spoken
    trace text, -- what was injected and refused
    version integer not null,
    available_at integer,
    created_at integer not null,
    started_at integer,
    first_delta_at integer,
    finished_at integer,
    deadline_at integer not null
) strict;
-- At most one run of a thread is active.
create unique index nexo_runs_active on nexo_runs (thread_id) where state in ('running', 'waiting');
create index nexo_runs_thread on nexo_runs (thread_id, id);
create index nexo_runs_app on nexo_runs (app_id, id);
create index nexo_runs_server on nexo_runs (server_id) where state = 'running';
create index nexo_runs_due on nexo_runs (available_at, id) where state = 'queued';

-- Segments of a run's events, each of one attempt.
create table nexo_events (
    run_id blob not null references nexo_runs on delete cascade,
    attempt integer not null,
    position integer not null,
    app_id blob not null,
    data text not null,
    created_at integer not null,
    primary key (run_id, attempt, position)
) strict;
create index nexo_events_age on nexo_events (created_at);

create table nexo_deliveries (
    id blob primary key,
    app_id blob not null,
    run_id blob not null references nexo_runs on delete cascade,
    attempt integer not null,
    url text not null,
    request_headers text not null,
    request_body blob not null,
    peer text,
    status integer,
    response_headers text not null,
    response_body blob not null,
    response_bytes integer not null,
    error text,
    error_detail text,
    started_at integer not null,
    first_byte_micros integer,
    ended_micros integer not null
) strict;
create index nexo_deliveries_run on nexo_deliveries (run_id, id);
create index nexo_deliveries_app on nexo_deliveries (app_id, id);
create index nexo_deliveries_age on nexo_deliveries (started_at);

create table nexo_handoffs (
    id blob primary key,
    app_id blob not null,
    thread_id blob not null references nexo_threads on delete cascade,
    run_id blob,
    epoch integer not null,
    from_agent_id blob,
    to_agent_id blob,
    to_human text,
    reason text,
    context text,
    version integer not null,
    created_at integer not null
) strict;
create index nexo_handoffs_thread on nexo_handoffs (thread_id, id);

create table nexo_idempotency (
    app_id blob not null references nexo_apps on delete cascade,
    key text not null,
    route text not null,
    body_sha256 blob not null,
    made text not null, -- what the request made, from which its answer is rebuilt
    created_at integer not null,
    primary key (app_id, key)
) strict;
create index nexo_idempotency_age on nexo_idempotency (created_at);
