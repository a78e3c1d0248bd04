create table read.inbox_resources (
    resource_id uuid primary key,
    name text not null
);
