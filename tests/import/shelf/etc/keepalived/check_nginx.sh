#!/bin/bash
# nginx, its port, and no flag
pidof nginx > /dev/null 2>&1
if [ $? -ne 0 ]; then
    logger "nginx is down"
    exit 1
fi
ss -ltn | grep -q ":80 " || exit 1
[ ! -f /tmp/maintenance ] && exit 0
exit 1
