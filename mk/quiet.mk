# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# One short line a file; V=1 shows the commands instead.
V ?= 0
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-6s %s\n' '$1' '$2'
MAKEFLAGS += --no-print-directory
endif
