-- Where the prepared order waits, and who brings it.
alter table read.orders add column pickup_address text, add column deliverer_id uuid;
create index on read.orders (deliverer_id, created_at, id) where deliverer_id is not null;
