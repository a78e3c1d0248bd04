-- What every call begins with, in one way to the server and back: its key is taken, and then looked up. Each statement of
-- such a function sees all that was committed before it, so also the answer of whoever held the key until just now.
create function sandbox.enter(
    call_key text, lock_seed bigint, kept_since timestamptz,
    out is_free boolean,
    out fingerprint text, out request_id text, out status integer, out body text,
    out any_faults boolean)
language plpgsql
as $$
begin
    is_free := call_key is null or pg_try_advisory_xact_lock(hashtextextended(call_key, lock_seed));
    if is_free and call_key is not null then
        select stored.fingerprint, stored.request_id, stored.status, stored.body
        into fingerprint, request_id, status, body
        from sandbox.idempotency_keys stored
        where stored.key = call_key and stored.created_at > kept_since;
    end if;
    any_faults := exists (select from sandbox.faults);
end
$$;
