-- A deliverer's own orders by stage; the waiting ones of all are found by status.
drop index if exists read.orders_deliverer_id_created_at_id_idx;
create index on read.orders (deliverer_id, status, created_at, id) where deliverer_id is not null;
