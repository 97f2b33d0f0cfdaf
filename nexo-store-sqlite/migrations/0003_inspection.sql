-- What an inspector shows: in which pieces a response came, what was sent again, and replays.

alter table nexo_deliveries add column agent_id blob;
alter table nexo_deliveries add column replay_id blob;
alter table nexo_deliveries add column repeats_id blob;
alter table nexo_deliveries add column frames blob not null default x'';
update nexo_deliveries
    set agent_id = (select agent_id from nexo_runs where id = nexo_deliveries.run_id);

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
    id blob primary key,
    app_id blob not null,
    run_id blob not null references nexo_runs on delete cascade,
    agent_id blob not null,
    content text, -- null if nothing was said
    content_json text,
    failure_key text,
    failure_detail text,
    created_at integer not null,
    first_delta_at integer,
    finished_at integer not null
) strict;
create index nexo_replays_run on nexo_replays (run_id, id);
