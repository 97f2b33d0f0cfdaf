-- A list of deliveries shows their heads. A row is read from its front, so bodies come last: with
-- them in between, each look at a head walked over all of what was sent and received.

create table nexo_deliveries_anew (
    id blob primary key,
    app_id blob not null,
    run_id blob not null references nexo_runs on delete cascade,
    agent_id blob,
    replay_id blob,
    repeats_id blob,
    attempt integer not null,
    url text not null,
    status integer,
    error text,
    started_at integer not null,
    first_byte_micros integer,
    ended_micros integer not null,
    request_bytes integer not null,
    response_bytes integer not null,
    peer text,
    error_detail text,
    frames blob not null,
    request_headers text not null,
    response_headers text not null,
    request_body blob not null,
    response_body blob not null
) strict;
insert into nexo_deliveries_anew (id, app_id, run_id, agent_id, replay_id, repeats_id, attempt, url,
        status, error, started_at, first_byte_micros, ended_micros, request_bytes, response_bytes,
        peer, error_detail, frames, request_headers, response_headers, request_body, response_body)
    select id, app_id, run_id, agent_id, replay_id, repeats_id, attempt, url,
        status, error, started_at, first_byte_micros, ended_micros, length(request_body),
        response_bytes, peer, error_detail, frames, request_headers, response_headers,
        request_body, response_body
    from nexo_deliveries;
drop table nexo_deliveries;
alter table nexo_deliveries_anew rename to nexo_deliveries;

create index nexo_deliveries_age on nexo_deliveries (started_at);
create index nexo_deliveries_run on nexo_deliveries (run_id, started_at, id);
create index nexo_deliveries_app on nexo_deliveries (app_id, started_at, id);
create index nexo_deliveries_agent on nexo_deliveries (agent_id, started_at, id);
create index nexo_deliveries_failed on nexo_deliveries (app_id, started_at, id)
    where error is not null;
create index nexo_deliveries_replay on nexo_deliveries (replay_id, started_at, id)
    where replay_id is not null;
