#!/bin/sh
# Makes every secret of a deployment, once: passwords, the addresses that contain them, the installation's signing key.
#
#   docker/secrets.sh [FOLDER]      FOLDER is docker/secrets unless named; it must not hold anything yet
#
# Where the servers are can be said by NATS_SERVERS, NATS_ROUTES (three) and POSTGRES_SERVER.
set -eu

folder=${1:-$(dirname "$0")/secrets}
nats_servers=${NATS_SERVERS:-nats-1:4222,nats-2:4222,nats-3:4222}
nats_routes=${NATS_ROUTES:-nats-1:6222,nats-2:6222,nats-3:6222}
postgres_server=${POSTGRES_SERVER:-postgres:5432}

if [ -d "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
    echo "secrets.sh: $folder is not empty; a new signing key would make everything sealed unreadable, so nothing was changed" >&2
    exit 1
fi

# Only the owner gets into the folder. The files themselves are readable, because compose shows them to the containers
# with the owner and the mode that they have here, and the roles do not run as you.
umask 077
mkdir -p "$folder"
cd "$folder"

# 192 random bits, hexadecimal: nothing in it means something to a URL, a shell or a configuration file.
password() {
    head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# An address list with the credentials in every member: nats://user:password@host:port,…
with_credentials() {
    printf '%s' "$3" | tr ',' '\n' | while IFS= read -r server || [ -n "$server" ]; do
        printf '%s//%s:%s@%s\n' "$1" "$2" "$4" "$server"
    done | paste -s -d , - | tr -d '\n'
}

: >nats_users.conf
for user in deployer mover command-api projector saga-orchestrator notifier operator; do
    secret=$(password)
    name=$(printf '%s' "$user" | tr 'a-z-' 'A-Z_')
    printf '%s_PASSWORD: "%s"\n' "$name" "$secret" >>nats_users.conf
    with_credentials nats: "$user" "$nats_servers" "$secret" >"nats_${user}_url"
done

secret=$(password)
printf 'ROUTE_PASSWORD: "%s"\n' "$secret" >nats_routes.conf
number=0
for route in $(printf '%s' "$nats_routes" | tr ',' ' '); do
    number=$((number + 1))
    printf 'ROUTE_%s: "nats-route://route:%s@%s"\n' "$number" "$secret" "$route" >>nats_routes.conf
done

password >postgres_superuser
for login in migrate projector operator command notifier sandbox; do
    secret=$(password)
    printf '%s' "$secret" >"postgres_$login"
    printf 'postgres://waybill_%s:%s@%s/waybill' "$login" "$secret" "$postgres_server" >"database_${login}_url"
done

# An Ed25519 private key as PKCS#8: the fixed beginning, then 32 random bytes.
{
    echo '-----BEGIN PRIVATE KEY-----'
    {
        printf '\060\056\002\001\000\060\005\006\003\053\145\160\004\042\004\040'
        head -c 32 /dev/urandom
    } | base64
    echo '-----END PRIVATE KEY-----'
} >signing_key

# Shared with the payment sandbox. For a real provider put its key and its signing secret here instead.
printf 'sk_test_%s' "$(password)" >payment_key
printf 'whsec_%s' "$(password)" >payment_webhook_secret

chmod 444 ./*
echo "secrets.sh: $(ls | wc -l | tr -d ' ') secrets are in $folder; keep signing_key and a backup of it, everything else can be made again"
