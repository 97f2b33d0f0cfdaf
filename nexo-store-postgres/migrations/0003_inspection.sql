-- What an inspector shows: in which pieces a response came, what was sent again, and replays.

alter table nexo_deliveries
    add column agent_id uuid, -- null where a server from before wrote it: its run's agent then
    add column replay_id uuid,
    add column repeats_id uuid,
    add column frames bytea not null default '';
update nexo_deliveries d set agent_id = r.agent_id from nexo_runs r where r.id = d.run_id;

-- Lists are in the order of sending, whatever narrows them.
drop index nexo_deliveries_run;
drop index nexo_deliveries_app;
create index nexo_deliveries_run on nexo_deliveries (run_id, started_at, id);
create index nexo_deliveries_app on nexo_deliveries (app_id, started_at, id);
create index nexo_deliveries_agent on nexo_deliveries (agent_id, started_at, id);
create index nexo_deliveries_failed on nexo_deliveries (app_id, started_at, id)
    where error is not null;
create index nexo_deliveries_replay on nexo_deliveries (replay_id, started_at, id)
    where replay_id is not null;

create table nexo_replays (
    id uuid primary key,
    app_id uuid not null,
    run_id uuid not null references nexo_runs on delete cascade,
    agent_id uuid not null,
    content text, -- null if nothing was said
    content_json json,
    failure_key text,
    failure_detail text,
    created_at timestamptz not null,
    first_delta_at timestamptz,
    finished_at timestamptz not null
);
create index nexo_replays_run on nexo_replays (run_id, id);
