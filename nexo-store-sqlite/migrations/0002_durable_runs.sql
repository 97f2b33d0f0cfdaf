-- Runs outlive their servers: they wait behind one another, and are told to stop.

alter table nexo_runs add column handbacks integer not null default 0;
alter table nexo_runs add column stop text; -- why it has to end, if somebody wants it to

-- What waits in a thread, however many of its runs have ended.
create index nexo_runs_queued on nexo_runs (thread_id, id) where state = 'queued';
-- What expires with no server to see it.
create index nexo_runs_expiring on nexo_runs (deadline_at) where state in ('queued', 'waiting');
-- Looked into twice a second by each server: few runs were ever told to stop.
create index nexo_runs_stop on nexo_runs (state, server_id) where stop is not null;
