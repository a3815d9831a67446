# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
# Building and starting the tests; selftests/run.sh runs and counts them.
#
# selftests/unit/test_NAME.c becomes $(O)/unit/test_NAME, linked with libntm, cmocka and the folder's
# other .c files. Objects of the programs are named in selftests/unit/objects.mk, a line a test:
#	test_path_select: dc/path_select dc/registration
# selftests/prog/ works the same way. selftests/fuzz/fuzz_NAME.c becomes $(O)/fuzz/fuzz_NAME: built by
# clang together with lib/ (and what selftests/fuzz/objects.mk names), all with the fuzzer's instrumentation.
#: make demo            the papers' network in namespaces: names, tunnel, handover, a table of times
#: make check           install what is missing, build, run all tests that finish within 20 minutes
#: make check-unit      codecs, crypto and other pure logic (no root)
#: make check-prog      every BPF program by BPF_PROG_TEST_RUN (root)
#: make check-netns     whole systems in network namespaces (root)
#: make check-vm        load and run on Debian's kernels 6.1 and 6.12 in QEMU (downloads them once)
#: make check-asan      unit and netns with AddressSanitizer and UndefinedBehaviorSanitizer
#: make check-tsan      the tests of what has threads, with ThreadSanitizer
#: make check-bpf       tests of moves, relays, keys with the BPF engine, too; its own without offloads
#: make check-long      check-asan, check-bpf, long fuzzing, and tests that take long
#: make fuzz            fuzz every parser for FUZZ_SECONDS (10) each, keep what was learnt in the corpus
#: make bench           one table and bench.json (ROWS="..." only these; BENCH_QUICK=1); bench-aead: only the ciphers;
#:                      bench-bpf: only ns a packet of BPF programs (root)
#: make bench-handover  paper A's table I, part by part, and its figure 5 (handover.svg)

# The words that FILE has for NAME:
extra_objects = $(addprefix $1/,$(addsuffix .o,$(shell sed -n 's/^$3:[[:space:]]*//p' $2 2>/dev/null)))

TESTS :=
# $(call c_tests,TIER)
define c_test_template
TESTS += $(O)/$1/$2
$(O)/$1/$2: $(O)/obj/selftests/$1/$2.o $(call objects,$(filter-out selftests/$1/test_% %.bpf.c,$(wildcard selftests/$1/*.c))) \
		$(call extra_objects,$(O)/obj,selftests/$1/objects.mk,$2) $(LIB)
endef
c_tests = $(foreach t,$(patsubst selftests/$1/%.c,%,$(wildcard selftests/$1/test_*.c)),$(eval $(call c_test_template,$1,$t)))

FUZZERS :=
FUZZ_FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined $(WARNINGS)
define fuzzer_template
FUZZERS += $(O)/fuzz/$1
$(O)/fuzz/$1: $(O)/fuzz/obj/selftests/fuzz/$1.o $(call extra_objects,$(O)/fuzz/obj,selftests/fuzz/objects.mk,$1) \
		$(O)/fuzz/libntm.a
endef

# selftests/bench/NAME.c becomes $(O)/bench/NAME, linked with libntm.
BENCHES := $(patsubst selftests/%.c,$(O)/%,$(filter-out %.bpf.c,$(wildcard selftests/bench/*.c)))
$(O)/bench/bpf: $(O)/obj/selftests/prog/prog.o
$(O)/bench/relay_prog: $(O)/obj/rs/relay_slot.o
$(O)/bench/dcload: $(O)/obj/dc/addr_pool.o $(O)/obj/dc/store.o
$(O)/bench/bpf_node: $(addprefix $(O)/obj/selftests/prog/,prog.o node.o node_packet.o)

# What the scripts in selftests/netns (and those in selftests/bench) run: one file each.
NETNS_TOOLS := $(O)/linkdelay $(O)/flow $(O)/stream $(O)/udpload $(O)/mitm $(O)/nobpf

# ntmd as if the layout of its BPF maps had changed, for selftests/netns/bpf_upgrade.sh.
NTMD_NEXT := $(O)/ntmd-next
ifneq ($(filter $(O)/ntmd,$(PROGRAMS)),)
$(NTMD_NEXT): $(filter-out %/bpf_attach.o,$(call objects,daemon/*.c)) $(O)/obj/daemon/bpf_attach.next.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(DEPS_LIBS) $(LDLIBS)
$(O)/obj/daemon/bpf_attach.next.o: daemon/bpf_attach.c $(O)/flags | $(SKELETONS)
	$(call say,CC,$< (another layout))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -DNTMD_BPF_LAYOUT=1000 -MMD -MP -c -o $@ $<
endif

ifdef BUILDING
$(call c_tests,unit)
$(call c_tests,prog)
$(foreach f,$(patsubst selftests/fuzz/%.c,%,$(wildcard selftests/fuzz/fuzz_*.c)),$(eval $(call fuzzer_template,$f)))
TESTS += $(NETNS_TOOLS)
CMOCKA_LIBS := $(shell pkg-config --libs cmocka 2>/dev/null)
endif

.PHONY: tests benches fuzzers
tests: $(TESTS) $(NTMD_NEXT) $(O)/bench/dcload
	@:
benches: $(BENCHES) $(O)/selftests/bench/pass.bpf.o
	@:
fuzzers: $(FUZZERS)
	@:

$(filter-out $(NETNS_TOOLS),$(TESTS)):
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CMOCKA_LIBS) $(DEPS_LIBS) $(LDLIBS)

$(NETNS_TOOLS): $(O)/%: $(O)/obj/selftests/netns/%.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $^

$(BENCHES): $(O)/%: $(O)/obj/selftests/%.o $(LIB)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CMOCKA_LIBS) $(DEPS_LIBS) $(LDLIBS)

$(FUZZERS):
	$(call say,LINK,$@)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) $(filter %.a,$^) $(DEPS_LIBS)

$(O)/fuzz/libntm.a: $(patsubst %.c,$(O)/fuzz/obj/%.o,$(wildcard lib/*.c))
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(O)/fuzz/obj/%.o: %.c $(O)/flags
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)clang $(CPPFLAGS_ALL) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<

# ---- starting them. Each step is a make of its own: what `deps` installs decides what `all` finds.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 1))
build_step = $(Q)$(MAKE) deps && $(MAKE) $(JOBS) $1
RUN := selftests/run.sh
FUZZ_SECONDS ?= 10
NTM_BIN := $(abspath $O)
export FUZZ_SECONDS NTM_BIN

.PHONY: demo check check-unit check-prog check-netns check-vm check-asan check-tsan check-bpf check-long \
	fuzz bench bench-aead bench-handover bench-bpf
demo:
	$(call build_step,all tests)
	$(Q)bash selftests/netns/demo.sh

check:
	$(Q)start=$$(date +%s); $(MAKE) deps && $(MAKE) $(JOBS) all tests fuzzers && \
		echo "== install and build: $$(($$(date +%s) - start)) s"
	$(Q)$(RUN)

check-unit: # the programs are not needed for it
	$(call build_step,tests)
	$(Q)$(RUN) unit

check-prog:
	$(call build_step,tests)
	$(Q)$(RUN) prog

check-netns:
	$(call build_step,all tests)
	$(Q)$(RUN) netns

check-vm:
	$(call build_step,all tests)
	$(Q)mk/deps.sh install-vm
	$(Q)NTM_LONG=1 $(RUN) vm

check-asan:
	$(call build_step,SAN=1 all tests)
	$(Q)NTM_BIN=$(abspath .output/asan) $(RUN) unit
	$(Q)NTM_BIN=$(abspath .output/asan) $(RUN) netns

# Tests of programs with threads.
TSAN_TESTS := rs_lanes rs_relay user_shard
check-tsan:
	$(call build_step,SAN=thread $(TSAN_TESTS:%=.output/tsan/unit/test_%))
	$(Q)NTM_BIN=$(abspath .output/tsan) $(RUN) unit $(TSAN_TESTS:%=test_%)

# What other tests show of the user engine holds with BPF, too; and what BPF's own show, also where links
# compute no checksums and cut no segments.
BPF_TESTS := nat_tunnel keepalive keepalive_lost lost_peer crossing restart rekey threads two_dcs \
	hole_punching handover handover_both handover_mbb handover_mitm handover_nat_rebind \
	handover_optimistic handover_storm relay_tunnel relay_fallback relay_failover relay_drain \
	relay_restart relay_mtu mtu mtu_blackhole mtu_ipv6 mtu_relay
OFFLOADS_TESTS := bpf_datapath bpf_handover bpf_left bpf_neighbour bpf_refused bpf_restart bpf_stacked \
	bpf_upgrade
check-bpf:
	$(call build_step,all tests)
	$(Q)NTM_ENGINE=bpf $(RUN) netns $(BPF_TESTS)
	$(Q)NTM_OFFLOADS=off $(RUN) netns $(OFFLOADS_TESTS)

check-long: check-asan check-tsan check-bpf
	$(call build_step,all tests fuzzers)
	$(Q)NTM_LONG=1 FUZZ_SECONDS=300 $(RUN)

fuzz:
	$(call build_step,fuzzers)
	$(Q)FUZZ_KEEP=1 $(RUN) fuzz

bench-aead:
	$(call build_step,benches)
	$(Q)$(O)/bench/aead

bench-bpf:
	$(call build_step,benches)
	$(Q)$(O)/bench/bpf
	$(Q)$(O)/bench/bpf_node

bench:
	$(call build_step,all tests benches)
	-$(Q)mk/deps.sh install-bench # rows that lack what cannot be had are not measured
	$(Q)bash selftests/bench/bench.sh

bench-handover:
	$(call build_step,all tests)
	-$(Q)mk/deps.sh install-bench
	$(Q)bash selftests/bench/handover.sh
