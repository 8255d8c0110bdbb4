-- What happened to sessions, for as long as `postgres.audit_retention` says, and what operators ended, for a year.
create table :SCHEMA.audit (
  id bigint generated always as identity primary key,
  happened_at timestamptz not null,
  event text not null,       -- a code of the log
  actor text not null,       -- user, operator, or session-guard by itself
  handle uuid,               -- of the session; authenticates nobody
  family uuid,
  consumer_id text,
  audience text,
  route text,                -- Kong's id
  reason text
);

create index audit_happened_at on :SCHEMA.audit (happened_at);                 -- reading, and deleting what is old
create index audit_consumer_id on :SCHEMA.audit (consumer_id, happened_at);    -- what happened to somebody
