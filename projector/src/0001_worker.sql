-- Where each projection stands, who may write, what is parked, and which replays are under way.

create table read.projector_lease (
    name text primary key,
    holder text not null,
    until timestamptz not null
);

create table read.checkpoint (
    projection text primary key,
    -- Which log the rows were built from.
    log text not null default '',
    position bigint not null default 0,
    -- The event at that position: tells a log that lost its tail and grew again.
    event_id uuid,
    paused boolean not null default false,
    -- Why it does not go on, in words for a person.
    stopped text,
    -- Raised whenever something else than the worker moved the rows (a swap, a resume).
    generation bigint not null default 0,
    rate double precision not null default 0,
    updated_at timestamptz not null default now()
);

create table read.parked (
    projection text not null,
    key uuid not null,
    first_position bigint not null,
    cause text not null,
    parked_at timestamptz not null default now(),
    primary key (projection, key)
);

create table read.replay (
    projection text not null,
    kind text not null,
    holder text not null,
    position bigint not null default 0,
    log_end bigint not null default 0,
    rate double precision not null default 0,
    started_at timestamptz not null default now(),
    until timestamptz not null,
    primary key (projection, kind)
);
