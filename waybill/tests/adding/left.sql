create table if not exists read.gift_cards (
    id   uuid primary key,
    left_cents bigint not null
);
