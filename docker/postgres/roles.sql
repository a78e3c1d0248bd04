-- Who may do what in Waybill's database: the owner of the database runs this once before `waybill migrate`, and again
-- whenever a password changed or the schema read was dropped. Safe to repeat. Tables are the migrations' business.
--
-- Passwords come as settings of the session (waybill.password_migrate and so on), because statements of this kind take
-- no parameters: PGOPTIONS="-c waybill.password_migrate=…" psql -f roles.sql, or `set waybill.password_migrate = '…'`.
--
--   waybill_migrate    `waybill migrate`: owns the schema vault, may do what the projector may
--   waybill_projector  owns the schema read and the shadows of it that a rebuild makes; reads the vault
--   waybill_operator   a person with `waybill projections`: logs in under his own name and acts as the projector
--   waybill_command    command-api: reads and writes the vault
--   waybill_notifier   notifier: reads the vault
--   waybill_sandbox    payment-sandbox: owns the schema sandbox
--   saga-orchestrator needs no database

do $$
declare
    login text;
begin
    foreach login in array array['migrate', 'projector', 'operator', 'command', 'notifier', 'sandbox'] loop
        if not exists (select from pg_roles where rolname = 'waybill_' || login) then
            execute format('create role %I', 'waybill_' || login);
        end if;
        -- Fails, naming the setting, when the password was not given.
        execute format(
            'alter role %I with login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password %L',
            'waybill_' || login, current_setting('waybill.password_' || login));
    end loop;

    -- Nobody gets in, or makes temporary tables, only because he has a login on this server.
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect on database %I to waybill_migrate, waybill_projector, waybill_operator, waybill_command, waybill_notifier, waybill_sandbox',
        current_database());
    -- Each of them asks for its schema with `create schema if not exists`, which needs this right even if it is there;
    -- the projector makes the shadows of a rebuild.
    execute format(
        'grant create on database %I to waybill_migrate, waybill_projector, waybill_sandbox', current_database());
end
$$;

revoke all on schema public from public;

-- Both inherit: a migration changes tables that a rebuild has put in place, and an operator's rebuild leaves tables
-- that are the projector's.
grant waybill_projector to waybill_migrate;
grant waybill_projector to waybill_operator;
alter role waybill_operator set role = 'waybill_projector';

-- On Postgres 16 and later the creator of a role does not act as it by itself, and a schema is given to somebody
-- only by who can act as him.
grant waybill_migrate, waybill_projector, waybill_sandbox to current_user;
create schema if not exists vault authorization waybill_migrate;
create schema if not exists read authorization waybill_projector;
create schema if not exists sandbox authorization waybill_sandbox;

-- Tables that migrations make from now on, and those that are there already.
grant usage on schema vault to waybill_projector, waybill_command, waybill_notifier;
alter default privileges for role waybill_migrate in schema vault
    grant select on tables to waybill_projector, waybill_notifier;
alter default privileges for role waybill_migrate in schema vault
    grant select, insert, update, delete on tables to waybill_command;
grant select on all tables in schema vault to waybill_projector, waybill_notifier;
grant select, insert, update, delete on all tables in schema vault to waybill_command;

-- What `waybill migrate` makes in read is its own; the projector works on it, and as the schema's owner it may also
-- exchange it for the tables of a rebuild.
alter default privileges for role waybill_migrate in schema read grant all on tables to waybill_projector;
alter default privileges for role waybill_migrate in schema read grant all on sequences to waybill_projector;
grant all on all tables in schema read to waybill_projector;
grant all on all sequences in schema read to waybill_projector;
