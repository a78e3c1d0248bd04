-- By which ways a person is told nothing, and when the person is left alone; null for who has chosen nothing.
alter table read.customers add column preferences jsonb;
