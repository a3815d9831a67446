# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# Where things go. DESTDIR is put in front of everything, for packages.
#: make install         into PREFIX (/usr/local), below DESTDIR; make uninstall takes it away again
#: make clean           remove everything built; make format: clang-format on all C sources
PREFIX ?= /usr/local
SBINDIR := $(PREFIX)/sbin
BINDIR := $(PREFIX)/bin
MANDIR := $(PREFIX)/share/man
UNITDIR := $(PREFIX)/lib/systemd/system
SYSUSERSDIR := $(PREFIX)/lib/sysusers.d
TMPFILESDIR := $(PREFIX)/lib/tmpfiles.d
COMPLETIONDIR := $(PREFIX)/share/bash-completion/completions

DAEMONS := ntmd ntm-dc ntm-rs
UNITS := $(wildcard dist/*.service)
MANPAGES := $(wildcard doc/man/*.[1-8])
man_file = $(MANDIR)/man$(subst .,,$(suffix $1))/$(notdir $1)

INSTALLED := $(addprefix $(SBINDIR)/,$(DAEMONS)) $(BINDIR)/ntmctl \
	$(addprefix $(UNITDIR)/,$(notdir $(UNITS))) $(SYSUSERSDIR)/ntm.conf $(TMPFILESDIR)/ntm.conf \
	$(COMPLETIONDIR)/ntmctl $(foreach m,$(MANPAGES),$(call man_file,$m))

.PHONY: install uninstall
install: all
	$(Q)install -d $(addprefix $(DESTDIR),$(sort $(dir $(INSTALLED))))
	$(Q)install -m 755 $(addprefix $(O)/,$(DAEMONS)) $(DESTDIR)$(SBINDIR)
	$(Q)install -m 755 $(O)/ntmctl $(DESTDIR)$(BINDIR)
	$(Q)for unit in $(UNITS); do \
		sed 's|@SBINDIR@|$(SBINDIR)|' $$unit >$(DESTDIR)$(UNITDIR)/$${unit##*/} && \
		chmod 644 $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; done
	$(Q)install -m 644 dist/ntm.sysusers $(DESTDIR)$(SYSUSERSDIR)/ntm.conf
	$(Q)install -m 644 dist/ntm.tmpfiles $(DESTDIR)$(TMPFILESDIR)/ntm.conf
	$(Q)install -m 644 dist/ntmctl.bash-completion $(DESTDIR)$(COMPLETIONDIR)/ntmctl
	$(Q)$(foreach m,$(MANPAGES),install -m 644 $m $(DESTDIR)$(call man_file,$m) && ):
	@echo "installed below $(DESTDIR)$(PREFIX)"
	@[ -n "$(DESTDIR)" ] || ! command -v systemd-tmpfiles >/dev/null || echo \
		"with systemd: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload"

uninstall:
	$(Q)rm -f $(addprefix $(DESTDIR),$(INSTALLED))
