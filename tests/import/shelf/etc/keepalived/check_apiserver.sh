#!/bin/sh
APISERVER_VIP=192.168.1.100
APISERVER_DEST_PORT=6443

errorExit() {
    echo "*** $*" 1>&2
    exit 1
}

curl -sfk --max-time 2 https://localhost:${APISERVER_DEST_PORT}/healthz -o /dev/null || errorExit "Error GET"
if ip addr | grep -q ${APISERVER_VIP}; then
    curl -sfk --max-time 2 https://${APISERVER_VIP}:${APISERVER_DEST_PORT}/healthz -o /dev/null || errorExit "Error GET"
fi
