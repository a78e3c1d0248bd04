-- One row an order: whether it counts as a sale, and on which day.
create table read.sales (
    order_id uuid primary key,
    partner_id uuid not null,
    total bigint not null,
    -- Given back so far, by the provider or outside of it.
    refunded bigint not null,
    -- placed, confirmed or cancelled.
    stage text not null,
    -- Confirmed, and not all of it given back.
    counts boolean not null,
    -- The UTC day on which it was confirmed.
    day date,
    version bigint not null
);
create index on read.sales (day, partner_id) where counts;
create index on read.sales (partner_id, day) where counts;

-- One row a product of an order, as it was when the order was placed.
create table read.sale_lines (
    id uuid primary key,
    order_id uuid not null,
    -- Its place in the order, from 0.
    place integer not null,
    product_id uuid not null,
    sku text not null,
    name text not null,
    brand text not null,
    category text not null,
    quantity bigint not null,
    revenue bigint not null,
    currency text not null,
    cost bigint not null,
    cost_currency text not null,
    -- This line's part of what was given back of the order.
    refunded bigint not null,
    placed_at timestamptz not null
);
create index on read.sale_lines (order_id);
create index on read.sale_lines (product_id, placed_at, id);
