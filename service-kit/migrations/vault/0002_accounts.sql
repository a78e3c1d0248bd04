-- Passwords, as Argon2id hashes wrapped under the installation's key. `version` counts changes: a sign-in that was
-- under way when the password changed opens no session.
create table vault.credentials (
    person        uuid primary key,
    wrapped_hash  bytea not null,
    version       bigint not null default 1,
    changed_at    timestamptz not null
);

-- One sign-in and all refresh tokens that follow from it.
create table vault.sessions (
    id          uuid primary key,
    person      uuid not null,
    -- Keyed hash of the network it was opened from, by which a returning owner is told from a crowd of guessers.
    origin      text not null,
    opened_at   timestamptz not null,
    ends_at     timestamptz not null,
    ended_at    timestamptz,
    ended_why   text,
    -- Its access token may live out its minutes: the person ended his sessions himself, from this one.
    spared      boolean not null default false,
    constraint an_ended_session_says_why check ((ended_at is null) = (ended_why is null))
);
create index on vault.sessions (person, opened_at);
create index on vault.sessions (ended_at) where ended_at is not null;
create index on vault.sessions (ends_at);

-- Only hashes. A used token stays until its time is over, so that somebody who shows it again is noticed.
create table vault.refresh_tokens (
    token_hash text primary key,
    session    uuid not null references vault.sessions on delete cascade,
    ends_at    timestamptz not null,
    used_at    timestamptz,
    -- With the token itself these lead to its successor, for a client whose answer was lost.
    nonce      bytea,
    successor  text,
    constraint a_used_token_has_a_successor check ((used_at is null) = (nonce is null) and (used_at is null) = (successor is null))
);
create index on vault.refresh_tokens (session);
create index on vault.refresh_tokens (ends_at);

-- Codes sent by mail: one of a kind per person, hashed, for a short time and a few tries.
create table vault.codes (
    purpose    text not null,
    person     uuid not null,
    code_hash  text not null,
    about      text not null,
    ends_at    timestamptz not null,
    tries_left integer not null,
    primary key (purpose, person)
);
create index on vault.codes (ends_at);

-- Leaky buckets that all replicas share; `full_at` is the moment, in milliseconds, at which the bucket has run dry.
create table vault.attempts (
    key     text primary key,
    full_at bigint not null
);
create index on vault.attempts (full_at);
