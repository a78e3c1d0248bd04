-- A secret that was replaced is still believed for a while, so that the other side has time to take the new one over.
alter table vault.secrets
    add column previous_wrapped_secret bytea,
    add column previous_until          timestamptz,
    -- The rotation that the secret comes from; none for the first one.
    add column rotation                uuid;

-- Every rotation happens once, however late its command is repeated.
create table vault.secret_rotations (
    rotation   uuid primary key,
    kind       text not null,
    id         uuid not null,
    rotated_at timestamptz not null
);
