#!/usr/bin/env bash
# What the scripts of this directory share; each sources it first. tests/programs/run starts them, in a clean environment.
# "${UNDER[@]}" PROGRAM ARGS... runs a program under the allocator that is being tested; helpers that only prepare input or
# normalise output run without it. A script prints its result on stdout, the same in every run, and ends with status 0.

set -eu
set -o pipefail
umask 022
cd "$WORK"

UNDER=(env)
[ -z "${LD_PRELOAD_UNDER:-}" ] || UNDER+=("LD_PRELOAD=$LD_PRELOAD_UNDER")
[ -z "${VMALLOC_OPTIONS_UNDER:-}" ] || UNDER+=("VMALLOC_OPTIONS=$VMALLOC_OPTIONS_UNDER")

program=$(basename "$0" .sh)

skip()
{
    echo "SKIP: $program: $*" >&2
    exit 77
}

die()
{
    echo "$program: $*" >&2
    exit 1
}

# need PROGRAM...: the script has nothing to test without them.
need()
{
    local name
    for name; do
        command -v "$name" >/dev/null || skip "$name is not installed"
    done
}

# size FULL SHORT: how much work to do; the short run only proves that the program used the library.
size()
{
    if [ -n "${SHORT:-}" ]; then echo "$2"; else echo "$1"; fi
}

# random_words COUNT SEED: COUNT numbered lines of pseudo-random lower-case words, the same on every machine.
random_words()
{
    awk -v count="$1" -v seed="$2" '
        function next_random() { seed = (seed * 16807) % 2147483647; return seed }
        BEGIN {
            for (i = 1; i <= count; i++) {
                line = ""
                for (words = next_random() % 8 + 3; words > 0; words--) {
                    n = next_random()
                    word = ""
                    for (letters = n % 7 + 2; letters > 0; letters--) {
                        n = next_random()
                        word = word substr("etaoinshrdlucmfwypvbgkjqxz", int((n % 26) * (n % 31) / 31) + 1, 1)
                    }
                    line = line " " word
                }
                print i line
            }
        }'
}

# checksum [FILE...]: the SHA-256 of each, or of stdin.
checksum()
{
    sha256sum "$@" | sed "s| \*\{0,1\}$WORK/| |"
}

free_port()
{
    /usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

DAEMONS=()

# daemon LOG COMMAND...: starts COMMAND (which execs the daemon) in the background, its stdout in LOG, its pid in $daemon.
daemon()
{
    local log=$1
    shift
    "$@" >"$log" &
    daemon=$!
    DAEMONS+=("$daemon")
}

# wait_until SECONDS COMMAND...: repeats COMMAND until it succeeds.
wait_until()
{
    local tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "no success in time: $*"
        sleep 0.05
    done
}

# check_mapped PID: a daemon that should run under the library has it in its address space.
check_mapped()
{
    [ -n "${LD_PRELOAD_UNDER:-}" ] || return 0
    grep -qF "$LD_PRELOAD_UNDER" "/proc/$1/maps" || die "process $1 does not run under $LD_PRELOAD_UNDER"
}

# stop PID SIGNAL: ends a daemon that this script started and prints its exit status.
stop()
{
    local status=0
    kill -s "$2" "$1"
    wait "$1" || status=$?
    echo "the daemon ended with status $status"
    forget "$1"
}

forget()
{
    local pid rest=()
    for pid in "${DAEMONS[@]}"; do
        [ "$pid" = "$1" ] || rest+=("$pid")
    done
    DAEMONS=("${rest[@]+"${rest[@]}"}")
}

stop_daemons()
{
    local pid
    for pid in "${DAEMONS[@]+"${DAEMONS[@]}"}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
trap stop_daemons EXIT
trap 'exit 143' TERM INT
