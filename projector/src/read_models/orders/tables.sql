create table read.orders (
    id uuid primary key,
    -- Empty only between the first events of one group, when payment or saga come before the order itself.
    customer_id uuid,
    partner_id uuid,
    lines jsonb not null,
    total bigint,
    currency text,
    payment_method text,
    -- Opened personal data; nothing once the customer's key is destroyed.
    delivery_address text,
    phone text,
    phase text not null,
    status text not null,
    status_reason text,
    status_detail text,
    payment jsonb not null,
    saga jsonb,
    saga_status text,
    saga_step text,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index on read.orders (created_at, id);
create index on read.orders (customer_id, created_at, id);
create index on read.orders (partner_id, created_at, id);
create index on read.orders (status, created_at, id);
create index on read.orders (saga_status, created_at, id);
