#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# run.sh - runs tests and counts them.
#
#	selftests/run.sh [TIER [NAME...]]	without arguments: every tier that has tests
#	selftests/run.sh --list [TIER]		what there is
#
# A script with a line "# with: NAME..." was once one with these: naming it runs them too, NAME.sh runs it alone.
#
# A test is a script selftests/TIER/NAME.sh with a line "# test: what it shows" (other scripts there are
# parts of tests), or a program $NTM_BIN/TIER/test_NAME that selftests/TIER/test_NAME.c became, or in the
# tier fuzz $NTM_BIN/fuzz/fuzz_NAME. It prints a line for each thing that holds, does not, or cannot be
# tried here:
#
#	ok - sentence		not ok - sentence		skip - sentence: reason
#
# or TAP (cmocka). A test that fails otherwise, prints no such line, lasts longer than NTM_TIMEOUT seconds
# (300; a line "# timeout: SECONDS" in a script has its own), or leaves namespaces, processes, mounts or
# files behind has failed as well. The last line is always "N passed, N failed, N skipped".
#
#	NTM_BIN		where the programs are: .output (default) or .output/asan
#	FUZZ_SECONDS	for each fuzz target (10); FUZZ_KEEP=1: put new inputs into selftests/fuzz/corpus
#	NTM_VERBOSE=1	show what each test prints
#	NTM_LONG=1	tests may take long (make check-long); scripts with a line "# long" run only then, or if named
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
NTM_BIN=$(realpath -m "${NTM_BIN:-.output}")
export NTM_BIN
ORDER=(unit prog netns vm fuzz) # cheap first
LOGS=$NTM_BIN/logs
PASSED=0 FAILED=0 SKIPPED=0 RUNNING=0
JOBS=() # run_at_once: process ID -> process ID

die() { echo "run.sh: $*" >&2; exit 2; }

tests_of() { # TIER: the names of its tests
	local file
	if [ "$1" = fuzz ]; then
		for file in selftests/fuzz/fuzz_*.c; do [ -e "$file" ] && basename "$file" .c; done
		return 0
	fi
	for file in selftests/"$1"/test_*.c; do [ -e "$file" ] && basename "$file" .c; done
	grep -ls '^# test: ' selftests/"$1"/*.sh | while read -r file; do
		[ "${ALL:-${NTM_LONG:-0}}" = 1 ] || ! grep -q '^# long$' "$file" || continue
		basename "$file" .sh
	done
	return 0
}

list() { # [TIER...]
	local tier name
	[ $# -gt 0 ] || set -- "${ORDER[@]}"
	for tier; do
		for name in $(ALL=1 tests_of "$tier"); do
			printf '%-6s %-20s %s\n' "$tier" "$name" \
				"$(sed -n 's/^# test: //p' "selftests/$tier/$name.sh" 2>/dev/null | head -n 1)"
		done
	done
}

fuzz() { # NAME: the kept corpus is read only, unless FUZZ_KEEP
	local name=$1 kept=selftests/fuzz/corpus/${1#fuzz_} new=$NTM_BIN/fuzz/new/$1 dirs
	mkdir -p "$new" "$NTM_BIN/fuzz/findings"
	dirs=("$new")
	[ -d "$kept" ] && dirs+=("$kept")
	if "$NTM_BIN/fuzz/$name" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 -rss_limit_mb=1024 -verbosity=1 \
		-artifact_prefix="$NTM_BIN/fuzz/findings/$name-" "${dirs[@]}"; then
		echo "ok - $name: nothing found in ${FUZZ_SECONDS:-10} s"
	else
		echo "not ok - $name: nothing found (the input is in $NTM_BIN/fuzz/findings)"
	fi
	if [ "${FUZZ_KEEP:-0}" = 1 ]; then
		mkdir -p "$kept"
		"$NTM_BIN/fuzz/$name" -merge=1 "$kept" "$new"
	fi
	rm -rf "$new"
}

# What a test left behind, by the marks that lib.sh gives: one line each.
leftovers() { # MARK
	local pid environ
	ip netns list 2>/dev/null | awk -v p="$1-" 'index($1, p) == 1 { print "namespace " $1 }'
	# Namespaces are mounts too, and said above.
	awk -v p="$1" 'index($5, p) && $5 !~ "/netns/" { print "mount " $5 }' /proc/self/mountinfo
	[ ! -e "${TMPDIR:-/tmp}/$1" ] || echo "files ${TMPDIR:-/tmp}/$1"
	# One grep for all: there may be thousands.
	grep -lzxF "NTM_MARK=$1" /proc/[0-9]*/environ 2>/dev/null | while read -r environ; do
		pid=${environ#/proc/} pid=${pid%/environ}
		[ ! -e "/proc/$pid/environ" ] || echo "process $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
	done
}

remove_leftovers() { # MARK, lines of leftovers on stdin: the next test must not suffer
	local kind what
	while read -r kind what; do
		case $kind in
		process) kill -9 "${what%% *}" 2>/dev/null ;;
		namespace) ip netns del "$what" 2>/dev/null ;;
		mount) umount -l "$what" 2>/dev/null ;;
		files) [ -n "$1" ] && rm -rf --one-file-system "$what" ;;
		esac
	done
}

command_of() { # TIER NAME: sets COMMAND
	if [ "$1" = fuzz ]; then
		[ -x "$NTM_BIN/fuzz/$2" ] || return 1
		COMMAND=(bash "selftests/run.sh" --fuzz-one "$2")
	elif [ -e "selftests/$1/$2.sh" ]; then
		COMMAND=(bash "selftests/$1/$2.sh")
	else
		[ -x "$NTM_BIN/$1/$2" ] || return 1
		COMMAND=("$NTM_BIN/$1/$2")
	fi
}

seconds() { # SINCE_MS: "1.2"
	local ms=$(($(date +%s%3N) - $1))
	echo "$((ms / 1000)).$((ms % 1000 / 100))"
}

run_one() { # TIER NAME
	local tier=$1 name=$2 log=$LOGS/$1-$2.log start limit status left good bad skipped
	RUNNING=$((RUNNING + 1))
	MARK=ntmt$$x$RUNNING # of this test's processes, namespaces and files
	start=$(date +%s%3N)
	limit=$(sed -n 's/^# timeout: //p' "selftests/$tier/$name.sh" 2>/dev/null | head -n 1)
	limit=${limit:-${NTM_TIMEOUT:-300}}
	if [ "$tier" = fuzz ]; then limit=$((limit + ${FUZZ_SECONDS:-10})); fi
	if command_of "$tier" "$name"; then
		# timeout makes a process group, and ends all of it. TERM first: then the test cleans up.
		NTM_MARK=$MARK CMOCKA_MESSAGE_OUTPUT=TAP ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} \
			UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1} \
			timeout --kill-after=10 "$limit" "${COMMAND[@]}" >"$log" 2>&1 </dev/null &
		CHILD=$!
		wait "$CHILD" 2>/dev/null; status=$? # without bash's line about how it ended
		CHILD=
	else
		echo "not ok - $name is built (make says why not)" >"$log"; status=1
	fi
	[ "$status" != 124 ] && [ "$status" != 137 ] || echo "not ok - $name ends within $limit s" >>"$log"
	left=$(leftovers "$MARK")
	if [ -n "$left" ]; then
		remove_leftovers "$MARK" <<<"$left"
		printf 'not ok - %s leaves nothing behind\n%s\n' "$name" "$left" >>"$log"
	fi
	count "$log"
	if [ "$bad" = 0 ] && [ "$status" != 0 ]; then
		echo "not ok - $name ends well (exit status $status)" >>"$log"; bad=1
	elif [ $((good + bad + skipped)) = 0 ]; then
		echo "not ok - $name checks something" >>"$log"; bad=1
	fi
	PASSED=$((PASSED + good)) FAILED=$((FAILED + bad)) SKIPPED=$((SKIPPED + skipped))
	report
}

# cmocka says "not ok N # SKIP" for what it skips.
SKIP='^skip - |^(not )?ok\b.*# (SKIP|skip)'

count() { # LOG: sets good, bad and skipped of run_one
	skipped=$(grep -cE "$SKIP" "$1")
	good=$(grep -vE "$SKIP" "$1" | grep -cE '^ok\b')
	bad=$(grep -vE "$SKIP" "$1" | grep -cE '^not ok\b')
}

report() { # from the variables of run_one
	local word=ok
	[ "$bad" = 0 ] || word=FAILED
	printf '  %-6s %s %s: %s passed%s%s, %s s\n' "$word" "$tier" "$name" "$good" \
		"$([ "$bad" = 0 ] || echo ", $bad failed")" "$([ "$skipped" = 0 ] || echo ", $skipped skipped")" \
		"$(seconds "$start")"
	if [ "${NTM_VERBOSE:-0}" = 1 ]; then
		sed 's/^/       | /' "$log"
	elif [ "$bad" != 0 ]; then
		grep -vE "$SKIP" "$log" | grep -E '^not ok\b' | sed 's/^/       /'
		echo "       --- the end of $log"
		tail -n 40 "$log" | sed 's/^/       | /'
	fi
	[ "${NTM_VERBOSE:-0}" = 1 ] || grep -E "$SKIP" "$log" | sed -E 's/^(not )?ok [0-9]+ # (SKIP|skip)/skip -/; s/^/       /'
}

want() { # TIER NAME: once
	local name=$2
	case " ${names[*]} " in
	*" $name "*) ;;
	*" test_$name "*) name=test_$name ;;
	*" fuzz_$name "*) name=fuzz_$name ;;
	*) die "no test $name in $1; selftests/run.sh --list $1 shows what there is" ;;
	esac
	case " ${WANTED[*]} " in *" $name "*) ;; *) WANTED+=("$name") ;; esac
}

run_tier() { # TIER [NAME...]
	local tier=$1 names name start
	shift
	mapfile -t names < <(ALL=$([ $# = 0 ] || echo 1) tests_of "$tier")
	if [ $# -gt 0 ]; then
		for name; do
			want "$tier" "${name%.sh}"
			[ "$name" = "${name%.sh}" ] || continue
			for name in $(sed -n 's/^# with: //p' "selftests/$tier/$name.sh" 2>/dev/null); do want "$tier" "$name"; done
		done
		names=("${WANTED[@]}")
	fi
	[ ${#names[@]} -gt 0 ] || die "no tests in selftests/$tier"
	if [ "$tier" != unit ] && [ "$tier" != fuzz ] && [ "$(id -u)" != 0 ]; then
		die "the tests of $tier need root"
	fi
	echo "== $tier"
	start=$(date +%s%3N)
	case $tier in
	unit | fuzz) run_at_once "$tier" "${names[@]}" ;;
	*) for name in "${names[@]}"; do run_one "$tier" "$name"; done ;;
	esac
	echo "== $tier: $(seconds "$start") s"
}

# As many at a time as there are processors; what they print, and their numbers, in order.
run_at_once() { # TIER NAME...: tests that mostly wait, or need one processor
	local tier=$1 name pid good bad skipped
	shift
	for name; do
		while [ ${#JOBS[@]} -ge "$(nproc)" ]; do
			wait -n "${JOBS[@]}"
			for pid in "${!JOBS[@]}"; do kill -0 "$pid" 2>/dev/null || unset "JOBS[$pid]"; done
		done
		RUNNING=$((RUNNING + 1))
		(
			trap interrupted INT TERM
			JOBS=() PASSED=0 FAILED=0 SKIPPED=0
			run_one "$tier" "$name"
			echo "$PASSED $FAILED $SKIPPED" >"$LOGS/$tier-$name.count"
		) >"$LOGS/$tier-$name.report" &
		JOBS[$!]=$!
	done
	wait
	JOBS=()
	for name; do
		cat "$LOGS/$tier-$name.report"
		read -r good bad skipped <"$LOGS/$tier-$name.count"
		PASSED=$((PASSED + good)) FAILED=$((FAILED + bad)) SKIPPED=$((SKIPPED + skipped))
		rm -f "$LOGS/$tier-$name.report" "$LOGS/$tier-$name.count"
	done
}

interrupted() {
	trap - INT TERM
	if [ ${#JOBS[@]} != 0 ]; then
		kill -TERM "${JOBS[@]}" 2>/dev/null
		wait
	fi
	if [ -n "${CHILD-}" ]; then
		kill -TERM "$CHILD" 2>/dev/null
		wait "$CHILD" 2>/dev/null
		leftovers "$MARK" | remove_leftovers "$MARK"
	fi
	exit 130
}

case ${1-} in
--list) list "${@:2}"; exit 0 ;;
--fuzz-one) fuzz "$2"; exit 0 ;;
-*) die "usage: selftests/run.sh [--list] [TIER [NAME...]]" ;;
esac
mkdir -p "$LOGS" || die "cannot write to $LOGS: run make first"
trap interrupted INT TERM
WANTED=()
if [ $# -gt 0 ]; then
	[ -d "selftests/$1" ] || die "no tier $1; there are: ${ORDER[*]}"
	run_tier "$@"
else
	for TIER in "${ORDER[@]}"; do
		[ -z "$(tests_of "$TIER")" ] || run_tier "$TIER"
	done
fi
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" = 0 ]
