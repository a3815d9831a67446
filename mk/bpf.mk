# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# BPF objects and their skeletons. bpf/NAME.bpf.c becomes $(O)/bpf/NAME.bpf.o; those that share maps are linked
# into one object, whose skeleton $(O)/bpf/OBJECT.skel.h the programs include as "bpf/OBJECT.skel.h": no file is
# needed at run time. selftests/prog/NAME.bpf.c becomes $(O)/selftests/prog/NAME.skel.h the same way.

CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
BPF_WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wno-unused-function -Wno-missing-declarations
BPF_FLAGS := -std=gnu11 -target bpf -mcpu=v3 -O2 -g $(BPF_WARNINGS) $(if $(filter 1,$(WERROR)),-Werror) -I. -Iinclude -Ibpf

SKELETONS :=
# $(call skeleton,OBJECT,FOLDER,SOURCES): OBJECT.skel.h from the sources' objects
define skeleton_template
SKELETONS += $(O)/$2/$1.skel.h
$(O)/$2/$1.skel.h: $(O)/$2/$1.linked.o
$(O)/$2/$1.linked.o: $(addprefix $(O)/$2/,$(addsuffix .bpf.o,$3))
endef
skeleton = $(eval $(call skeleton_template,$1,$2,$3))

# What is loaded together: OBJECT FOLDER SOURCES, all that are there.
BPF_NODE := $(filter-out xdp_relay dns_cgroup steer,$(patsubst bpf/%.bpf.c,%,$(wildcard bpf/*.bpf.c)))
ifneq ($(BPF_NODE),)
$(call skeleton,node,bpf,$(BPF_NODE))
endif
$(foreach s,$(patsubst bpf/%.bpf.c,%,$(wildcard bpf/xdp_relay.bpf.c bpf/dns_cgroup.bpf.c bpf/steer.bpf.c)),$(call skeleton,$s,bpf,$s))
$(foreach s,$(patsubst selftests/prog/%.bpf.c,%,$(wildcard selftests/prog/*.bpf.c)),$(call skeleton,$s,selftests/prog,$s))

$(O)/%.bpf.o: %.bpf.c $(O)/flags
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_FLAGS) -MMD -MP -c -o $@ $<

$(O)/%.linked.o:
	$(call say,BPFLD,$@)
	$(Q)$(BPFTOOL) gen object $@ $(filter %.bpf.o,$^)

$(O)/%.skel.h: $(O)/%.linked.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf >$@.new && mv $@.new $@

CPPFLAGS_ALL += -I$(O)
