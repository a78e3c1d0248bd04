create table read.resources (
    id uuid primary key,
    name text not null,
    type text not null,
    region text not null,
    -- Removed resources keep their row: who has one keeps it, and sees what it is.
    removed boolean not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.resources (name, id);

create table read.assignments (
    id uuid primary key,
    customer_id uuid not null,
    resource_id uuid not null,
    -- What was taken away keeps its row: its version goes on when it is given again.
    assigned boolean not null,
    version bigint not null,
    -- Since when the customer has it, this time.
    assigned_at timestamptz not null
);
create index on read.assignments (customer_id, assigned_at, id) where assigned;
