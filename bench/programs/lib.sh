# shellcheck shell=bash disable=SC2154
# What the scripts of this folder share; each sources it first, sets $about, $packages (Debian's) and $needs (the commands
# that must be there), defines the functions below and ends with `main "$@"`. They run in DIR, with the helpers of
# tests/programs/lib.sh at hand.
#   make_inputs     writes everything that a run needs, for both scales, the same on every machine
#   show_command    calls `arguments` with the command to measure; $scale is full or quick
#   run_client      only for servers: uses the server that the command started, then makes it end
# What the command prints, and a client of a server, must not depend on the allocator.

set -eu
set -o pipefail
export LC_ALL=C TZ=UTC
unset LD_PRELOAD LD_PRELOAD_UNDER VMALLOC_OPTIONS VMALLOC_OPTIONS_UNDER SHORT CDPATH

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tests/programs" && pwd)

usage()
{
    echo "usage: bench/programs/$(basename "$0") prepare DIR | command DIR [full|quick] | packages | describe"
    if declare -F run_client >/dev/null; then
        echo "       bench/programs/$(basename "$0") client DIR [full|quick]"
    fi
    echo "$about"
}

wrong_usage()
{
    usage >&2
    exit 2
}

# enter DIR: what follows runs there.
enter()
{
    [ -d "$1" ] || { echo "$(basename "$0"): $1 is not a directory" >&2; exit 1; }
    WORK=$(cd "$1" && pwd)
    export WORK
    # shellcheck source=../../tests/programs/lib.sh
    . "$tests/lib.sh"
    # shellcheck disable=SC2086 # a list of words
    need $needs
}

choose_scale()
{
    scale=${1:-full}
    case $scale in
    full | quick) ;;
    *) wrong_usage ;;
    esac
}

# by_scale FULL QUICK
by_scale()
{
    if [ "$scale" = full ]; then echo "$1"; else echo "$2"; fi
}

# arguments WORD...: one a line.
arguments()
{
    printf '%s\n' "$@"
}

# The stamp in DIR is a digest of the scripts that made the inputs.
sum_of_scripts()
{
    cat "$self" "$tests/lib.sh" "$tests/sources.inc" | cksum
}

main()
{
    case ${1:-} in
    prepare | command | client)
        [ $# -ge 2 ] && [ $# -le 3 ] || wrong_usage
        choose_scale "${3:-}"
        [ "$1" != prepare ] || mkdir -p "$2"
        enter "$2"
        ;;
    packages | describe | --help) ;;
    *) wrong_usage ;;
    esac
    case $1 in
    prepare)
        if [ "$(cat stamp 2>/dev/null)" != "$(sum_of_scripts)" ]; then
            make_inputs
            sum_of_scripts >stamp
        fi
        ;;
    command)
        [ -e stamp ] || die "no inputs in $WORK; make them with: $self prepare $WORK"
        show_command
        ;;
    client)
        declare -F run_client >/dev/null || wrong_usage
        run_client
        ;;
    packages) echo "$packages" ;;
    describe) echo "$about" ;;
    --help) usage ;;
    esac
}
