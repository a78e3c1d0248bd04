#!/bin/sh
# Starts the edge in a Kubernetes cluster, with the file that compose uses: names are asked for at the cluster's resolver,
# which wants them whole.
#
#   in-cluster.sh [--print]      with --print the file is only shown
set -eu

given=${EDGE_CONF:-/etc/nginx/nginx.conf}
resolv=${EDGE_RESOLV_CONF:-/etc/resolv.conf}
made=${EDGE_MADE_CONF:-/tmp/nginx.conf}

resolver=$(awk '$1 == "nameserver" { print $2; exit }' "$resolv")
domain=$(awk '$1 == "search" { print $2; exit }' "$resolv")
[ -n "$resolver" ] && [ -n "$domain" ] || {
    echo "in-cluster.sh: $resolv names no resolver or no domain" >&2
    exit 1
}
# nginx writes an address of IPv6 in brackets.
case $resolver in *:*) resolver="[$resolver]" ;; esac

sed -e "s/resolver 127\.0\.0\.11 /resolver $resolver /" \
    -e "s/ \(projector\|command-api\|payment-sandbox\):\([0-9]*\);/ \1.$domain:\2;/" "$given" >"$made"

if [ "${1:-}" = --print ]; then
    cat "$made"
    exit 0
fi
exec nginx -c "$made" -g 'daemon off;'
