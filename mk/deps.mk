# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# What must be installed. The list with its Debian packages is in mk/deps.sh; here: the libraries' flags.
#: make                 build the programs into .output
#: make deps            install what building and testing need (root; Debian)

PKGS := libevent libmnl inih json-c libknot sqlite3 libcrypto libbpf
PKGS_OPTIONAL := libsystemd

ifdef BUILDING
ifneq ($(shell CC='$(CC)' mk/deps.sh check build >&2 && echo found),found)
$(error missing packages, see above)
endif
PKGS += $(shell pkg-config --exists $(PKGS_OPTIONAL) && echo $(PKGS_OPTIONAL))
DEPS_CPPFLAGS := $(shell pkg-config --cflags $(PKGS)) $(if $(filter libsystemd,$(PKGS)),-DHAVE_SYSTEMD=1)
DEPS_LIBS := $(shell pkg-config --libs $(PKGS))
# It has no pkg-config file. Without it AES-256-GCM is libcrypto's.
ifeq ($(shell CC='$(CC)' mk/deps.sh has header intel-ipsec-mb.h && echo found),found)
DEPS_CPPFLAGS += -DHAVE_IPSEC_MB=1
DEPS_LIBS += -lIPSec_MB
endif
endif

.PHONY: deps
deps:
	$(Q)mk/deps.sh install
