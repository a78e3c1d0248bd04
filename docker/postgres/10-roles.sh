#!/bin/sh
# Run once by the Postgres image when it makes the database: gives every login the password of its secret.
set -eu

settings=
for login in migrate projector operator command notifier sandbox; do
    settings="$settings -c waybill.password_$login=$(cat "/run/secrets/postgres_$login")"
done

PGOPTIONS="$settings" psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file /etc/waybill/roles.sql
