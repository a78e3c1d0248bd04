-- Where each stock last changed: the live view goes on from there. Rows that are there do not know it, so the worker
-- makes them again from the log.
truncate read.inventory;
delete from read.parked where projection = 'inventory';
delete from read.checkpoint where projection = 'inventory';
-- With a default, so that a replica of the build before, which does not name the column, parks nothing while it still
-- writes.
alter table read.inventory add column position bigint not null default 0;
create index on read.inventory (position);
