-- Runs that outlive their server, and wait for their turn.

alter table nexo_runs
    add column handbacks integer not null default 0, -- attempts that ended with a server's shutdown
    add column stop text;                            -- how it has to end: cancel, supersede

create index nexo_runs_queued on nexo_runs (thread_id, id) where state = 'queued';

-- What a sweep looks for among the runs that no server carries.
create index nexo_runs_deadline on nexo_runs (deadline_at) where state in ('queued', 'waiting');
create index nexo_runs_stopped on nexo_runs (thread_id)
    where stop is not null and state in ('queued', 'waiting');
