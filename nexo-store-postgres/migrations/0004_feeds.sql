-- What changed in a thread is found by its version.

-- The version of the last change of the thread itself, rather than of what is in it.
alter table nexo_threads add column own_version bigint not null default 0;

-- For those only who ask for versions and say that they are above 0, which all are: everybody
-- else who asks for a thread's rows has a better index.
create index nexo_messages_version on nexo_messages (thread_id, version) where version > 0;
create index nexo_runs_version on nexo_runs (thread_id, version) where version > 0;
