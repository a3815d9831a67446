# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# Makefile - builds libntm, the daemons and ntmctl, and starts the tests. `make help` lists what it does.
#
#	lib/*.c -> libntm.a <- daemon/*.c     -> ntmd
#	                    <- dc/*.c         -> ntm-dc
#	                    <- rs/*.c         -> ntm-rs
#	                    <- tools/ntmctl/  -> ntmctl
#	bpf/*.bpf.c -> *.skel.h <- ntmd, ntm-rs   (mk/bpf.mk)
#	                    <- selftests/unit/test_*.c -> unit/test_*   (mk/tests.mk)
#
# Everything built lies under $(O): .output, .output/asan with SAN=1, .output/tsan with SAN=thread.
#
#	V=1        show the commands
#	WERROR=1   warnings are errors
#	SAN=1      with AddressSanitizer and UndefinedBehaviorSanitizer; SAN=thread with ThreadSanitizer
#	CC=clang   any of gcc and clang

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

include version.mk
include mk/quiet.mk

ifeq ($(origin CC),default)
CC := gcc
endif
WERROR ?= $(if $(CI),1,0)
SAN ?= 0
ifeq ($(SAN),1)
O := .output/asan
else ifeq ($(SAN),thread)
O := .output/tsan
else
O := .output
endif

# Targets that build nothing themselves: they must work before the libraries are installed.
NO_BUILD := deps demo check check-% fuzz bench bench-% uninstall help clean format
ifneq ($(filter-out $(NO_BUILD),$(or $(MAKECMDGOALS),all)),)
BUILDING := 1
endif
include mk/deps.mk

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef
CPPFLAGS_ALL := -Iinclude -Ilib -I. -D_GNU_SOURCE -DNTM_VERSION='"$(VERSION)"' $(DEPS_CPPFLAGS) $(CPPFLAGS)
CFLAGS ?= -O2 -g
CFLAGS_ALL := -std=gnu11 $(CFLAGS) $(WARNINGS)
LDFLAGS_ALL := -Wl,--as-needed $(LDFLAGS)
ifeq ($(WERROR),1)
CFLAGS_ALL += -Werror
endif
SAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ifeq ($(SAN),thread)
SAN_FLAGS := -fsanitize=thread -fno-omit-frame-pointer
endif
ifneq ($(SAN),0)
CFLAGS_ALL += $(SAN_FLAGS)
LDFLAGS_ALL += $(SAN_FLAGS)
endif

include mk/bpf.mk

# ---- objects: $(O)/obj mirrors the source tree
objects = $(patsubst %.c,$(O)/obj/%.o,$(wildcard $1))

LIB := $(O)/libntm.a
# A folder without a main function is not a program.
PROGRAMS :=
# $(call program,NAME,SOURCES)
define program_template
ifneq ($(shell grep -ls '^int main\b' $2),)
PROGRAMS += $(O)/$1
$(O)/$1: $(call objects,$2) $(LIB)
endif
endef
program = $(eval $(call program_template,$1,$2))

$(call program,ntmd,daemon/*.c)
$(call program,ntm-dc,dc/*.c)
$(call program,ntm-rs,rs/*.c)
$(call program,ntmctl,tools/ntmctl/*.c)

.PHONY: all
all: $(LIB) $(PROGRAMS)
	@:

$(PROGRAMS):
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(DEPS_LIBS) $(LDLIBS)

$(LIB): $(call objects,lib/*.c)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(O)/obj/%.o: %.c $(O)/flags | $(SKELETONS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Objects are built again when the compiler or its flags change.
FLAGS_NOW := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(CLANG) $(BPF_FLAGS)
ifdef BUILDING
$(shell mkdir -p $(O))
ifneq ($(FLAGS_NOW),$(file <$(O)/flags))
.PHONY: $(O)/flags
endif
endif
$(O)/flags:
	@: $(file >$@,$(FLAGS_NOW))

include mk/tests.mk
include mk/install.mk

ifdef BUILDING
-include $(shell find $(O)/obj $(O)/fuzz $(O)/bpf $(O)/selftests -name '*.d' 2>/dev/null)
endif

.PHONY: clean format help
clean:
	$(Q)rm -rf .output

format:
	@command -v clang-format >/dev/null || { echo "clang-format is missing: apt-get install clang-format" >&2; exit 1; }
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h' ':!vmlinux.h')

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)
