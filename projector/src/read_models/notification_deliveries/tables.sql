create table read.notification_deliveries (
    id uuid primary key,
    -- The history that it is kept in: the order's id, or that of what it is about.
    history uuid not null,
    event_id uuid not null,
    order_id uuid,
    kind text not null,
    channel text not null,
    -- A customer's or a partner's id; who that is, is not in the log.
    recipient uuid not null,
    recipient_type text not null,
    agent text not null,
    agent_version bigint not null,
    priority text not null,
    -- Of the last attempt.
    provider text,
    provider_id text,
    attempt bigint not null,
    status text not null,
    cause text,
    -- Every attempt, the first one first.
    attempts jsonb not null,
    replay_of uuid,
    not_before timestamptz,
    -- Of its intent.
    position bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.notification_deliveries (position, id);
create index on read.notification_deliveries (history);
create index on read.notification_deliveries (recipient, position);
