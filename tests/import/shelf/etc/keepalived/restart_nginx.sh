#!/bin/sh
if ! pidof nginx; then systemctl restart nginx; sleep 2; pidof nginx; fi
