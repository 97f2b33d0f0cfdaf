-- Which server has the code of which agents.

alter table nexo_agents add column handler text; -- what its configuration names, if its kind needs it
alter table nexo_servers add column handlers text not null default '[]';
