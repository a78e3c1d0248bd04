-- What a person may know of himself; what can be erased is opened personal data.
alter table read.customers
    add column phone text,
    add column birth_date text,
    add column email_verified boolean not null default false,
    add column partner_id uuid,
    -- The name of the stored picture, and what it is.
    add column avatar text,
    add column avatar_type text,
    add column status text not null default 'active';
