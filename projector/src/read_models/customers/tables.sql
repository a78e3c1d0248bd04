create table read.customers (
    id uuid primary key,
    -- Opened personal data; nothing once the person's key is destroyed.
    name text,
    email text,
    role text not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.customers (created_at, id);
