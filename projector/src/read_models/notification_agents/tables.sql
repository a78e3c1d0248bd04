create table read.notification_agents (
    -- Of its history; made from the name.
    id uuid primary key,
    -- Its name in the API.
    name text not null,
    -- What it tells, in its order.
    kinds jsonb not null,
    priority text not null,
    -- By which ways, and who carries on each, in their order.
    channels jsonb not null,
    active boolean not null,
    allow_duplicates boolean not null,
    quiet_hours jsonb,
    version bigint not null,
    updated_at timestamptz not null
);
