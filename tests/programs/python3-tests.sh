#!/usr/bin/env bash
# python3's own regression tests, with every object from malloc: the result of each test case must be the same as under
# glibc, whatever that is. Run by ./run.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3

tests='test_dict test_list test_set test_deque test_array test_bytes test_memoryview test_bigmem test_json test_re test_gc
    test_weakref test_generators test_ast test_compile test_exceptions test_pickle test_copy test_zlib test_bz2 test_lzma
    test_threading test_thread test_threadedtempfile test_subprocess test_posix test_fork1 test_mmap test_ctypes
    test_capi test_sqlite3 test_struct test_unicode test_xml_etree_c test_pyexpat test_tempfile test_file
    test_codecs test_hashlib test_collections test_itertools test_functools test_decimal test_float test_long test_datetime'
[ -z "${SHORT:-}" ] || tests='test_dict test_thread'
# shellcheck disable=SC2086
available=$(/usr/bin/python3 -c 'import importlib.util, sys
import test.libregrtest
print(*(t for t in sys.argv[1:] if importlib.util.find_spec("test." + t)))' $tests 2>/dev/null) ||
    skip "the regression tests of $(/usr/bin/python3 -V) are not installed"
echo "$available"

# regression RESULT ARGS...: python's own runner; the result of every case goes to the file RESULT.
regression()
{
    local result=$1
    shift
    PYTHONHASHSEED=0 PYTHONMALLOC=malloc "${UNDER[@]}" /usr/bin/python3 -m test --timeout 200 --junit-xml "$result" "$@" >"$result.log" 2>&1
}

# Of the tests of multiprocessing, which mostly sleep, the pools and locks of processes, beside all others.
if [ -z "${SHORT:-}" ]; then
    regression processes.xml -j1 -m 'WithProcessesTestPool' -m 'WithProcessesTestLock' test_multiprocessing_fork &
    processes=$!
else
    true &
    processes=$!
fi
status=0
# shellcheck disable=SC2086
regression result.xml -j2 $available || status=$?
echo "status $status"
status=0
wait "$processes" || status=$?
echo "status of multiprocessing $status"
/usr/bin/python3 - <<'SCRIPT'
import glob, xml.etree.ElementTree as tree
results = []
for case in (case for file in glob.glob('*.xml') for case in tree.parse(file).iter('testcase')):
    kinds = sorted({child.tag for child in case} - {'system-out', 'system-err'}) or [case.get('result', '')]
    results.append('%s %s' % (case.get('name'), ' '.join(kinds)))
print(len(results), 'cases')
print(*sorted(results), sep='\n')
SCRIPT
