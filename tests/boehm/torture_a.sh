#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the torture program in way A, on every backend.
exec "${CARDMARK_SRCDIR:-.}/tests/boehm/torture.sh" A
