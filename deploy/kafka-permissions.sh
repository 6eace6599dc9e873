#!/bin/sh
# The least that each part of Tocsin needs on a Kafka with an authorizer, one principal each.
#   kafka-permissions.sh broker:9092 [admin.properties]
# Topics and groups begin with `tocsin`; edit if you chose another prefix.
set -eu
broker=$1
config=${2:+--command-config $2}

acl() { # principal, then what it is allowed
    who=$1 && shift
    # shellcheck disable=SC2086 # $config is two words or none
    kafka-acls.sh --bootstrap-server "$broker" $config --add --allow-principal "User:$who" "$@"
}
topic() { acl "$1" --operation "$2" --operation Describe --topic "$3"; }
group() { acl "$1" --operation Read --operation Describe --group "tocsin-$2" --resource-pattern-type prefixed; }

# Your services: they may write spans, and read nothing.
topic tocsin-producers Write tocsin.spans.v1
# Pipelines, and services with `tocsin_client`, tell of deploys and flags.
topic tocsin-producers Write tocsin.changes.v1

topic tocsin-ingest Read tocsin.spans.v1
topic tocsin-ingest Write tocsin.spans.v1.dlq
topic tocsin-ingest Write tocsin.flushes.v1
group tocsin-ingest ingest

topic tocsin-watch Read tocsin.flushes.v1
topic tocsin-watch Read tocsin.changes.v1
topic tocsin-watch Read tocsin.feedback.v1
topic tocsin-watch Write tocsin.alerts.v1
topic tocsin-watch Write tocsin.spans.v1.dlq
group tocsin-watch watch
group tocsin-watch changes

topic tocsin-bridge Read tocsin.alerts.v1
topic tocsin-bridge Write tocsin.feedback.v1
group tocsin-bridge bridge

# Every stage checks at its start that all topics are there.
for who in tocsin-ingest tocsin-watch tocsin-bridge; do
    acl "$who" --operation Describe --topic tocsin. --resource-pattern-type prefixed
done
# `tocsin topics`, once.
acl tocsin-admin --operation Create --operation Describe --topic tocsin. \
    --resource-pattern-type prefixed
