-- The sandbox's ledger: what a payment provider would have to remember.
-- Every name is qualified, so nothing here depends on a search path.

create table sandbox.payment_intents (
    id                  text primary key,
    created_at          timestamptz not null,
    amount              bigint not null check (amount > 0),
    amount_capturable   bigint not null default 0 check (amount_capturable between 0 and amount),
    amount_received     bigint not null default 0 check (amount_received between 0 and amount),
    currency            text not null,
    status              text not null check (status in (
                            'requires_payment_method', 'requires_confirmation', 'requires_action',
                            'processing', 'requires_capture', 'canceled', 'succeeded')),
    capture_method      text not null check (capture_method in ('automatic', 'automatic_async', 'manual')),
    payment_method      text,
    latest_charge       text,
    client_secret       text not null,
    last_payment_error  jsonb,
    return_url          text,
    description         text,
    cancellation_reason text,
    canceled_at         timestamptz,
    session_id          text,
    settles_at          timestamptz,
    metadata            jsonb not null,
    order_id            text generated always as (metadata ->> 'order_id') stored,
    -- Money is either held or taken, never both.
    check (amount_capturable = 0 or amount_received = 0),
    check (amount_capturable = 0 or status = 'requires_capture'),
    check (amount_received = 0 or status = 'succeeded')
);

create index payment_intents_newest on sandbox.payment_intents (created_at desc, id desc);
create index payment_intents_by_order on sandbox.payment_intents (order_id) where order_id is not null;
create index payment_intents_settling on sandbox.payment_intents (settles_at) where settles_at is not null;

create table sandbox.charges (
    id              text primary key,
    created_at      timestamptz not null,
    payment_intent  text not null references sandbox.payment_intents (id),
    amount          bigint not null check (amount > 0),
    amount_captured bigint not null default 0 check (amount_captured between 0 and amount),
    amount_refunded bigint not null default 0,
    currency        text not null,
    status          text not null check (status in ('succeeded', 'failed')),
    payment_method  text not null,
    failure_code    text,
    decline_code    text,
    failure_message text,
    -- Never above what was captured, whatever the code above thinks.
    check (amount_refunded between 0 and amount_captured),
    check (status = 'succeeded' or amount_captured = 0)
);

create index charges_by_intent on sandbox.charges (payment_intent, created_at);
-- One intent takes money once.
create unique index charges_one_success_per_intent on sandbox.charges (payment_intent) where status = 'succeeded';

create table sandbox.refunds (
    id             text primary key,
    created_at     timestamptz not null,
    payment_intent text not null references sandbox.payment_intents (id),
    charge         text not null references sandbox.charges (id),
    amount         bigint not null check (amount > 0),
    currency       text not null,
    status         text not null check (status in ('pending', 'succeeded', 'failed')),
    reason         text,
    failure_reason text,
    settles_at     timestamptz,
    settles_to     text check (settles_to in ('succeeded', 'failed')),
    metadata       jsonb not null,
    check ((settles_at is null) = (settles_to is null))
);

create index refunds_newest on sandbox.refunds (created_at desc, id desc);
create index refunds_by_intent on sandbox.refunds (payment_intent, created_at);
create index refunds_settling on sandbox.refunds (settles_at) where settles_at is not null;

create table sandbox.checkout_sessions (
    id                      text primary key,
    created_at              timestamptz not null,
    expires_at              timestamptz not null,
    status                  text not null check (status in ('open', 'complete', 'expired')),
    amount_total            bigint not null check (amount_total > 0),
    currency                text not null,
    line_items              jsonb not null,
    success_url             text not null,
    cancel_url              text,
    client_reference_id     text,
    customer_email          text,
    capture_method          text not null check (capture_method in ('automatic', 'automatic_async', 'manual')),
    -- The intent that the hosted page works on; shown to callers only once the session is complete.
    intent_id               text references sandbox.payment_intents (id),
    metadata                jsonb not null,
    payment_intent_metadata jsonb not null,
    order_id                text generated always as
                                (coalesce(metadata ->> 'order_id', payment_intent_metadata ->> 'order_id')) stored
);

create index checkout_sessions_newest on sandbox.checkout_sessions (created_at desc, id desc);
create index checkout_sessions_by_order on sandbox.checkout_sessions (order_id) where order_id is not null;
create index checkout_sessions_open on sandbox.checkout_sessions (expires_at) where status = 'open';

-- Outbox of webhooks. `body` is the exact text that is signed and sent, the same for every attempt.
create table sandbox.events (
    seq             bigint generated always as identity primary key,
    id              text not null unique,
    type            text not null,
    created_at      timestamptz not null,
    object_key      text not null,
    order_id        text,
    body            text not null,
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    delivered_at    timestamptz,
    gave_up_at      timestamptz,
    last_status     integer,
    last_error      text
);

create index events_due on sandbox.events (next_attempt_at) where delivered_at is null and gave_up_at is null;
create index events_waiting_by_object on sandbox.events (object_key, seq)
    where delivered_at is null and gave_up_at is null;
create index events_by_order on sandbox.events (order_id, seq) where order_id is not null;
create index events_by_age on sandbox.events (created_at);

-- The first answer under a key, kept 24 hours and replayed.
create table sandbox.idempotency_keys (
    key         text primary key,
    created_at  timestamptz not null,
    fingerprint text not null,
    request_id  text not null,
    status      integer not null,
    body        text not null
);

create index idempotency_keys_by_age on sandbox.idempotency_keys (created_at);

-- Every call that reached the sandbox, for the ledger view.
create table sandbox.calls (
    seq             bigint generated always as identity primary key,
    received_at     timestamptz not null,
    request_id      text not null,
    operation       text not null,
    method          text not null,
    path            text not null,
    order_id        text,
    intent_id       text,
    session_id      text,
    idempotency_key text,
    replayed        boolean not null,
    status          integer not null,
    error_code      text,
    delivery        text not null check (delivery in ('answered', 'delayed', 'held', 'dropped')),
    fault           text
);

create index calls_by_order on sandbox.calls (order_id, seq) where order_id is not null;
create index calls_by_age on sandbox.calls (received_at);

-- Ordered failures: one row is one failure, deleted when it strikes.
create table sandbox.faults (
    id        bigint generated always as identity primary key,
    operation text not null,
    kind      text not null,
    delay_ms  bigint not null check (delay_ms >= 0),
    order_id  text
);

create index faults_by_operation on sandbox.faults (operation, id);

-- Tokens that misbehave once, and for which order they have done so.
create table sandbox.spent_tokens (
    token text not null,
    scope text not null,
    primary key (token, scope)
);
