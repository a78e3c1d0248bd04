create table read.notifications (
    id uuid primary key,
    -- Whose inbox; nobody's own when it is for all admins.
    recipient uuid,
    kind text not null,
    order_id uuid,
    title text not null,
    body text not null,
    read boolean not null,
    position bigint not null,
    created_at timestamptz not null
);
create index on read.notifications (recipient, position, id);

-- What later events of an order do not repeat: whom to tell, and how much it is.
create table read.inbox_orders (
    order_id uuid primary key,
    customer_id uuid not null,
    total bigint not null,
    currency text not null
);

-- What stock events do not repeat: whose product it is, and its name.
create table read.inbox_products (
    product_id uuid primary key,
    partner_id uuid,
    name text not null
);
