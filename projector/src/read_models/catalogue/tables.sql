create table read.products (
    id uuid primary key,
    sku text not null,
    -- The partner who added it; none when an admin did.
    partner_id uuid,
    name text not null,
    brand text not null,
    category text not null,
    size text,
    color text,
    description text,
    picture_url text,
    unit_cost bigint not null,
    unit_cost_currency text not null,
    removed boolean not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.products (name, id);
create index on read.products (partner_id, name, id);

create table read.partners (
    id uuid primary key,
    title text not null,
    brand text not null,
    phone text not null,
    email text not null,
    address text not null,
    webhook_url text,
    verified boolean not null,
    enabled boolean not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.partners (title, id);

create table read.offers (
    id uuid primary key,
    partner_id uuid not null,
    product_id uuid not null,
    price bigint not null,
    currency text not null,
    active boolean not null,
    -- Removed offers keep their row: their version goes on when the offer is set again.
    removed boolean not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.offers (product_id);
create index on read.offers (partner_id);
