create table read.payment_providers (
    -- Of its history; made from the name.
    id uuid primary key,
    -- Its name in the API.
    provider text not null,
    title text not null,
    active boolean not null,
    checkout boolean not null,
    version bigint not null,
    updated_at timestamptz not null
);
