-- One row for every sign-in, for its whole life: a renewal raises its generation.
create table :SCHEMA.sessions (
  key bytea primary key check (octet_length(key) = 32), -- SHA-256 of the id, which is only in the cookie
  handle uuid not null unique,                          -- public name; authenticates nobody
  family uuid not null,                                 -- shared with the remember row of the same sign-in
  kind smallint not null,                               -- 0 session, 1 remember
  generation integer not null,
  consumer_id text not null,
  credential_id text,
  audience text not null,
  realm text not null,
  subject text,
  data bytea not null,                                  -- sealed
  authenticated_at timestamptz not null,                -- a credential was verified; cut-offs count from here
  started_at timestamptz not null,                      -- later if restored; the absolute limit counts from here
  renewed_at timestamptz not null,
  seen_at timestamptz not null,
  previous_renewed_at timestamptz,
  confirmed_at timestamptz,                             -- the current generation was first presented
  expires_at timestamptz not null                       -- only ever raised; 'infinity' where nothing limits it
) with (
  -- Every session in use is updated once per touch interval, in columns without an index: with room on the page
  -- these updates are heap-only and write no index (docs/scaling.md has the figures). A row has 500 to 900 bytes.
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.05
);

-- What is sealed does not compress.
alter table :SCHEMA.sessions alter column data set storage external;

create index sessions_family on :SCHEMA.sessions (family);          -- logout
create index sessions_consumer_id on :SCHEMA.sessions (consumer_id); -- list, count, end all of a consumer
create index sessions_expires_at on :SCHEMA.sessions (expires_at);   -- pruning

-- "What was authenticated at that moment or before is dead." Also reaches sessions that live in cookies alone.
create table :SCHEMA.cutoffs (
  kind text not null check (kind in ('family', 'consumer', 'credential', 'all')),
  target text not null,             -- '' for all
  ended_before timestamptz not null,
  expires_at timestamptz not null,  -- nothing it could end lives longer
  primary key (kind, target)
);

create index cutoffs_expires_at on :SCHEMA.cutoffs (expires_at);
