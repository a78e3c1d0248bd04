-- Who was erased: what is sealed for him is not opened any more, whoever still has his key in a cache.
create table read.orders_erased_persons (
    person uuid primary key
);
