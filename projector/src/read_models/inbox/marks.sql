-- Read or not is a matter of each person who is told.
alter table read.notifications drop column read;

-- A notification that a person has read, or read or not and cleared.
create table read.inbox_marks (
    -- Derived from the person and the notification.
    id uuid primary key,
    person uuid not null,
    notification_id uuid not null,
    -- Where in the log the event is that the notification tells of.
    at bigint not null,
    cleared boolean not null,
    -- Of the mark's last change.
    position bigint not null
);
create unique index on read.inbox_marks (person, notification_id);
create index on read.inbox_marks (person, position);

-- Up to which position a person has cleared everything.
create table read.inbox_floors (
    person uuid primary key,
    through bigint not null,
    -- Of the last change.
    position bigint not null
);

-- Nothing is kept for whoever was erased.
create table read.inbox_erased (
    person uuid primary key
);
