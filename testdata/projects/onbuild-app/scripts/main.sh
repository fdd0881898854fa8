#!/bin/sh
cat /etc/motd manifest
