-- Everything that conversations and accounts need. Every table below an app carries app_id,
-- so that the whole can be spread by it.

create table nexo_settings (
    name text primary key,
    value text not null
);

create table nexo_servers (
    id uuid primary key,
    started_at timestamptz not null,
    beat_at timestamptz not null,
    draining boolean not null default false
);

-- Accounts ------------------------------------------------------------------------------

create table nexo_users (
    id uuid primary key,
    email text not null,
    email_key text not null constraint nexo_users_email unique, -- lower case, made in Rust
    hashed_password text not null,
    is_active boolean not null,
    is_superuser boolean not null,
    is_verified boolean not null,
    locale text not null,
    token_epoch bigint not null default 0,
    created_at timestamptz not null
);

create table nexo_sessions (
    id uuid primary key,
    user_id uuid not null references nexo_users on delete cascade,
    digest bytea not null unique, -- SHA-256 of the token in the browser's cookie
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index nexo_sessions_user on nexo_sessions (user_id);

create table nexo_mails (
    id uuid primary key,
    user_id uuid not null references nexo_users on delete cascade,
    kind text not null,
    attempt integer not null default 0,
    available_at timestamptz not null,
    created_at timestamptz not null
);
create index nexo_mails_due on nexo_mails (available_at, id);
create index nexo_mails_user on nexo_mails (user_id);

create table nexo_limits (
    key text primary key,
    full_at timestamptz not null -- when the allowance is whole again
);
create index nexo_limits_full on nexo_limits (full_at);

-- Apps ----------------------------------------------------------------------------------

create table nexo_apps (
    id uuid primary key,
    owner text not null, -- whatever the authenticator calls them; no foreign key
    name text not null,
    description text,
    webhook_url text,
    webhook_secret text,  -- sealed
    previous_secret text, -- sealed
    previous_secret_expires_at timestamptz,
    config json not null, -- verbatim
    default_agent_id uuid not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index nexo_apps_owner on nexo_apps (owner, created_at, id);
create index nexo_apps_ending on nexo_apps (previous_secret_expires_at)
    where previous_secret_expires_at is not null;

create table nexo_agents (
    id uuid primary key,
    app_id uuid not null references nexo_apps on delete cascade,
    name text not null,
    kind text not null,
    config json not null,
    secret text, -- sealed
    grants json not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint nexo_agents_name unique (app_id, name)
);

create table nexo_keys (
    id uuid primary key,
    app_id uuid not null references nexo_apps on delete cascade,
    name text not null,
    digest bytea not null,
    scopes json not null,
    created_at timestamptz not null,
    expires_at timestamptz
);
create index nexo_keys_app on nexo_keys (app_id);
create index nexo_keys_ending on nexo_keys (expires_at) where expires_at is not null;

-- Conversations -------------------------------------------------------------------------

create table nexo_subscribers (
    id uuid primary key,
    app_id uuid not null references nexo_apps on delete cascade,
    customer_id text not null,
    display_name text,
    metadata json not null,
    created_at timestamptz not null,
    last_seen_at timestamptz,
    last_message_at timestamptz,
    constraint nexo_subscribers_customer unique (app_id, customer_id)
);
create index nexo_subscribers_list
    on nexo_subscribers (app_id, last_message_at desc nulls last, created_at desc, id desc);

-- What a search looks into: both names in Rust's lower case. Apart from the subscribers, whose
-- rows change with every message: each change would be made in the index below as well.
create table nexo_subscriber_names (
    subscriber_id uuid primary key references nexo_subscribers on delete cascade,
    app_id uuid not null,
    search text not null
);
create index nexo_subscriber_names_app on nexo_subscriber_names (app_id);

-- Without the extension, or the right to make it, a search reads through an app's names.
do $$
begin
    create extension if not exists pg_trgm;
    create index nexo_subscriber_names_search on nexo_subscriber_names using gin (search gin_trgm_ops);
exception when others then
    raise notice 'no index for searches: %', sqlerrm;
end
$$;

create table nexo_threads (
    id uuid primary key,
    app_id uuid not null references nexo_apps on delete cascade,
    subscriber_id uuid references nexo_subscribers on delete set null,
    title text,
    status text not null,
    customer_id text,
    next_seq bigint not null default 1,
    holder_agent_id uuid, -- null: the app's default agent
    holder_human text,    -- who took over; agents are paused then
    epoch bigint not null default 0,
    version bigint not null default 0,
    last_message_at timestamptz,
    last_message_preview text,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index nexo_threads_list on nexo_threads (app_id, updated_at desc, id desc);
create index nexo_threads_customer on nexo_threads (app_id, customer_id, updated_at desc, id desc);
create index nexo_threads_subscriber on nexo_threads (subscriber_id, updated_at desc, id desc);

create table nexo_messages (
    id uuid primary key,
    app_id uuid not null,
    thread_id uuid not null references nexo_threads on delete cascade,
    seq bigint not null,
    role text not null,
    content text,
    content_json json not null,
    run_id uuid, -- the run whose reply it is
    version bigint not null,
    created_at timestamptz not null,
    constraint nexo_messages_seq unique (thread_id, seq)
);
-- A run speaks once.
create unique index nexo_messages_run on nexo_messages (run_id) where run_id is not null;
create index nexo_messages_user on nexo_messages (thread_id, seq desc) where role = 'user';

create table nexo_runs (
    id uuid primary key,
    app_id uuid not null,
    thread_id uuid not null references nexo_threads on delete cascade,
    agent_id uuid not null,
    handler text, -- the in-process handler it needs; null for built-in kinds
    message_id uuid not null,
    message_seq bigint not null,
    state text not null,
    attempt integer not null,
    fence bigint not null,
    epoch bigint not null,
    server_id uuid,
    reply_id uuid,
    failure_key text,
    failure_detail text,
    kept json,  -- what an agent said that was not spoken
    trace json, -- what was injected and refused
    version bigint not null,
    available_at timestamptz,
    created_at timestamptz not null,
    started_at timestamptz,
    first_delta_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz not null
);
-- At most one run of a thread is active.
create unique index nexo_runs_active on nexo_runs (thread_id) where state in ('running', 'waiting');
create index nexo_runs_thread on nexo_runs (thread_id, id);
create index nexo_runs_app on nexo_runs (app_id, id);
create index nexo_runs_server on nexo_runs (server_id) where state = 'running';
create index nexo_runs_due on nexo_runs (available_at, id) where state = 'queued';

-- Segments of a run's events, each of one attempt.
create table nexo_events (
    run_id uuid not null references nexo_runs on delete cascade,
    attempt integer not null,
    position integer not null,
    app_id uuid not null,
    data json not null,
    created_at timestamptz not null,
    primary key (run_id, attempt, position)
);
create index nexo_events_age on nexo_events (created_at);

create table nexo_deliveries (
    id uuid primary key,
    app_id uuid not null,
    run_id uuid not null references nexo_runs on delete cascade,
    attempt integer not null,
    url text not null,
    request_headers json not null,
    request_body bytea not null,
    peer text,
    status integer,
    response_headers json not null,
    response_body bytea not null,
    response_bytes bigint not null,
    error text,
    error_detail text,
    started_at timestamptz not null,
    first_byte_micros bigint,
    ended_micros bigint not null
);
create index nexo_deliveries_run on nexo_deliveries (run_id, id);
create index nexo_deliveries_app on nexo_deliveries (app_id, id);
create index nexo_deliveries_age on nexo_deliveries (started_at);

create table nexo_handoffs (
    id uuid primary key,
    app_id uuid not null,
    thread_id uuid not null references nexo_threads on delete cascade,
    run_id uuid,
    epoch bigint not null,
    from_agent_id uuid,
    to_agent_id uuid,
    to_human text,
    reason text,
    context json,
    version bigint not null,
    created_at timestamptz not null
);
create index nexo_handoffs_thread on nexo_handoffs (thread_id, id);

create table nexo_idempotency (
    app_id uuid not null references nexo_apps on delete cascade,
    key text not null,
    route text not null,
    body_sha256 bytea not null,
    made json not null, -- what the request made, from which its answer is rebuilt
    created_at timestamptz not null,
    primary key (app_id, key)
);
create index nexo_idempotency_age on nexo_idempotency (created_at);
