-- Keys of persons: sealed data of somebody whose key is destroyed can never be read again. The row stays, so that
-- no second key is ever made for the same person.
create table vault.personal_keys (
    person       uuid primary key,
    wrapped_key  bytea,
    created_at   timestamptz not null default now(),
    destroyed_at timestamptz,
    constraint a_key_is_there_or_destroyed check ((wrapped_key is null) = (destroyed_at is not null))
);

-- Secrets that must never be events: what partners' webhooks are signed with, and the like.
create table vault.secrets (
    kind           text not null,
    id             uuid not null,
    wrapped_secret bytea not null,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (kind, id)
);
