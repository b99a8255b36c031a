#!/bin/sh
# Starts the server the one way it is started everywhere: by `make run`, by the tests, in production. daphne must be on
# PATH. Listens on 127.0.0.1:$PORT (8000 when unset); arguments come last and win: `deploy/daphne.sh -b 0.0.0.0`.
#
#   --websocket_timeout -1          never close a socket for its age; daphne's default ends each after 24 h
#   --websocket_connect_timeout 10  seconds for a handshake, connect() included; above the database's own time limits
#   --ping-interval 20              seconds of silence before a ping; below the 60 s at which proxies drop idle sockets
#   --ping-timeout 30               seconds without an answer until a dead peer is closed
#   --websocket-max-*-size          bytes, in and out: 1 MiB; beyond it the connection is reset. The application answers
#                                   a frame over 128 KiB itself, in words
#   --application-close-timeout 10  seconds for an application to finish after its client has gone
#   -t 60                           seconds for an HTTP answer
#   -v 0                            no access log: it is plain text between JSON lines, and a proxy keeps a better one
set -eu
cd "$(dirname "$0")/.."
exec daphne \
    -b 127.0.0.1 -p "${PORT:-8000}" \
    --websocket_timeout -1 \
    --websocket_connect_timeout 10 \
    --ping-interval 20 \
    --ping-timeout 30 \
    --websocket-max-message-size 1048576 \
    --websocket-max-frame-size 1048576 \
    --application-close-timeout 10 \
    -t 60 \
    -v 0 \
    --no-server-name \
    "$@" \
    config.asgi:application
