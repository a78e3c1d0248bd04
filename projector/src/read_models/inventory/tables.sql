create table read.inventory (
    product_id uuid primary key,
    received bigint not null,
    held bigint not null,
    sold bigint not null,
    low_stock_threshold bigint not null,
    version bigint not null,
    updated_at timestamptz not null
);
