# Tests the arithmetic, tables, files and behaviour of bench/run, bench/compare and bench/reclaim/run, on made-up samples and on
# commands that take no time. No figure of this machine is judged.
# Run by tests/tool/run. Usage: bench.py ROOT
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
ROOT = os.path.realpath(sys.argv[1])
BENCH = os.path.join(ROOT, "bench")
LIBRARY = os.path.join(ROOT, "build/.libs/libvmalloc.so")
WORK = tempfile.mkdtemp()
BINARIES = tempfile.mkdtemp()
LIMIT = 240
sys.path.insert(0, BENCH)
from driver import change, plot, results as R, stats  # noqa: E402


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def expect(what, got, wanted):
    if got != wanted:
        raise Failure("%s is %.2000r, not %.2000r" % (what, got, wanted))


def expect_near(what, got, wanted, within=1e-9):
    if not abs(got - wanted) <= within:
        raise Failure("%s is %r, not %r" % (what, got, wanted))


def expect_in(what, part, text):
    if part not in text:
        raise Failure("%s: no %r in %.2000r" % (what, part, text))


def call(name, *arguments, **more):
    environment = dict(os.environ, BENCH_BIN=BINARIES, VMALLOC_LIB=LIBRARY, LC_ALL="C")
    environment.pop("PEERS", None)
    return subprocess.run([os.path.join(BENCH, name)] + list(arguments), stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT,
                          env=dict(environment, **more))


def run(*arguments, script, options=(), **more):
    """bench/run on a shell script under glibc and libvmalloc; its results.json is in WORK/out."""
    return call("run", "-q", "--allocators", "glibc,libvmalloc", "--output", os.path.join(WORK, "out"), *arguments,
                "--command", "sh", "-c", script, *options, **more)


def rounds_of(name):
    runs = R.load(os.path.join(WORK, "out")).samples["command", "sh"][name]
    return [sample["round"] for sample in runs]


# ---- Made-up results ------------------------------------------------------------------------------------------------

def context(names, **more):
    allocators = {n: {"library": "-", "version": "%s 1.0" % n, "digest": "digest of " + n} for n in names}
    return dict({"allocators": allocators, "date": "2026-01-02T03:04:05+00:00", "machine": "2026-01-02, a machine",
                 "load": 0.0, "rounds": 3, "quick": False, "settings": {}}, **more)


def sample(number, wall, rss=1024, extra=()):
    return {"round": number, "wall": wall, "cpu": wall, "user": wall, "sys": 0.0, "rss": rss, "minor": 10, "major": 0,
            "iterations": 1, "output": "abc", "extra": dict(extra)}


def made_up(walls, kind="programs", rss=None):
    """walls: workload -> allocator -> wall times of the rounds."""
    results = R.Results(context(list(dict.fromkeys(n for row in walls.values() for n in row))))
    for workload, row in walls.items():
        for name, values in row.items():
            for number, wall in enumerate(values):
                results.add(kind, workload, name, sample(number, wall, (rss or {}).get(name, 1024)))
    return results


def write(results, name):
    folder = os.path.join(WORK, name)
    os.makedirs(folder, exist_ok=True)
    R.write(results, folder)
    return folder


# ---- Statistics -----------------------------------------------------------------------------------------------------

def test_means():
    expect("median of an even number", stats.median([4, 1, 3, 2]), 2.5)
    expect_near("geometric mean", stats.geometric_mean([0.5, 2.0, 8.0]), 2.0)
    expect("geometric mean of nothing", stats.geometric_mean([]), None)


def test_ranks():
    expect("doubled ranks, ties share theirs", stats.double_ranks([3, 1, 3, 2, 3]), [8, 2, 8, 4, 8])


def test_mann_whitney():
    expect_near("p of [1 2 3] and [4 5 6]", stats.mann_whitney([1, 2, 3], [4, 5, 6]), 0.1)
    expect_near("p of five and five, apart", stats.mann_whitney(range(5), range(10, 15)), 2 / 252)
    expect_near("the same the other way round", stats.mann_whitney(range(10, 15), range(5)), 2 / 252)
    expect_near("p of equal samples", stats.mann_whitney([7] * 6, [7] * 6), 1.0)
    expect_near("p of many equal samples", stats.mann_whitney([7] * 30, [7] * 30), 1.0)
    # All twenty ways to choose three of six; rank sums at least as far from 10.5 as 7: 6, 7, 14, 15.
    expect_near("p of [1 2 4] and [3 5 6]", stats.mann_whitney([1, 2, 4], [3, 5, 6]), 0.2)
    draw = random.Random(2)
    for _ in range(20):
        a, b = ([draw.choice(range(40)) for _ in range(12)] for _ in range(2))
        exact = stats.mann_whitney(a, b)
        stats.EXACT_UP_TO, kept = 0, stats.EXACT_UP_TO
        expect_near("the normal curve's p", stats.mann_whitney(a, b), exact, 0.02)
        stats.EXACT_UP_TO = kept


def test_correction():
    expect("equal steps", [round(p, 9) for p in stats.correct_for_many([0.01, 0.02, 0.03, 0.04])], [0.04] * 4)
    expect("one small among many", [round(p, 9) for p in stats.correct_for_many([0.9, 0.001, 0.8, 0.5])],
           [0.9, 0.004, 0.9, 0.9])
    expect("none", stats.correct_for_many([]), [])


def test_bootstrap():
    def ratio(groups):
        return stats.median(groups[1]) / stats.median(groups[0])

    expect("of constants", stats.bootstrap([[2.0] * 5, [3.0] * 5], ratio), (1.5, 1.5))
    draw = random.Random(3)
    groups = [[draw.gauss(10, 0.3) for _ in range(9)], [draw.gauss(12, 0.3) for _ in range(9)]]
    low, high = stats.bootstrap(groups, ratio)
    if not 1.1 < low < 1.2 < high < 1.3:
        raise Failure("the interval of 12 / 10 is %r" % ((low, high),))
    expect("a second time", stats.bootstrap(groups, ratio), (low, high))


def rows_of(old, new, names=(R.OURS, R.OURS)):
    rows = change.rows_of(old, new, names, ["wall"], lambda kind, name: True)
    change.judge(rows, 0.01)
    return rows


def noisy(draw, level, rounds=9, noise=0.03):
    return [level * draw.lognormvariate(0, noise) for _ in range(rounds)]


# Two runs of the same on a noisy machine: as good as nothing is called a change. A tenth more is, in every row.
def test_verdicts():
    draw = random.Random(4)
    names = ["w%d" % i for i in range(60)]
    old = made_up({w: {"glibc": [1.0] * 9, R.OURS: noisy(draw, 1.0)} for w in names})
    same = made_up({w: {"glibc": [1.0] * 9, R.OURS: noisy(draw, 1.0)} for w in names})
    called = [row.workload for row in rows_of(old, same) if row.verdict != change.NO_DIFFERENCE]
    expect("what is called a change without one", called, [])
    slow = made_up({w: {"glibc": [1.0] * 9, R.OURS: noisy(draw, 1.1)} for w in names})
    verdicts = [row.verdict for row in rows_of(old, slow)]
    if verdicts.count("slower") < 58 or "faster" in verdicts:
        raise Failure("a tenth more time is called %r" % verdicts)
    verdicts = [row.verdict for row in rows_of(slow, old)]
    if verdicts.count("faster") < 58 or "slower" in verdicts:
        raise Failure("a tenth less time is called %r" % verdicts)


def test_small_differences_get_no_word():
    old = made_up({"w": {"glibc": [1.0] * 9, R.OURS: [1.0 + i / 1e6 for i in range(9)]}})
    new = made_up({"w": {"glibc": [1.0] * 9, R.OURS: [1.002 + i / 1e6 for i in range(9)]}})
    row, = rows_of(old, new)
    expect("verdict of 0.2 % more", row.verdict, change.NO_DIFFERENCE)
    change.judge([row], 0.001)
    expect("with --least 0.1", row.verdict, "slower")


# A machine that is a fifth slower in the second run, for everybody: nobody's change.
def test_drift():
    draw = random.Random(5)
    peers = ["glibc", "jemalloc", "tbb"]
    old = made_up({"w%d" % i: {n: noisy(draw, 1.0, noise=0.01) for n in peers + [R.OURS]} for i in range(10)})
    new = made_up({"w%d" % i: {n: noisy(draw, 1.2, noise=0.01) for n in peers + [R.OURS]} for i in range(10)})
    verdicts = {row.verdict for row in rows_of(old, new)}
    expect("verdicts when all got slower", verdicts, {change.NO_DIFFERENCE})
    for name in peers:
        new.context["allocators"][name]["digest"] = "another file"
    verdicts = {row.verdict for row in rows_of(old, new)}
    expect("verdicts when the peers are other files", verdicts, {"slower"})


def test_geometric_mean_of_changes():
    old = made_up({"a": {R.OURS: [1.0] * 5}, "b": {R.OURS: [1.0] * 5}})
    new = made_up({"a": {R.OURS: [2.0] * 5}, "b": {R.OURS: [8.0] * 5}})
    expect("mean and interval", [round(v, 9) for v in change.mean_of(rows_of(old, new))], [4.0] * 3)


# ---- Tables and files -----------------------------------------------------------------------------------------------

def example():
    results = made_up({"one": {"glibc": [2.0, 2.2, 1.8], "tbb": [4.0, 4.0, 4.0], R.OURS: [1.0, 1.0, 1.0]},
                       "two": {"glibc": [3.0, 3.0, 3.0], "tbb": [1.5, 1.5, 1.5], R.OURS: [3.0, 3.0, 3.0]}})
    results.errors["programs", "two", "tbb"] = "exit status 9: ouch"
    results.skipped.append("SKIP: programs/three: not installed (packages: three)")
    results.about["programs", "one"] = "what one does"
    return results


def test_ratios():
    results = example()
    expect("ratios of one", results.ratios("programs", "one", "wall"), {"glibc": 1.0, "tbb": 2.0, R.OURS: 0.5})
    expect("ratios of two, tbb failed", results.ratios("programs", "two", "wall"), {"glibc": 1.0, R.OURS: 1.0})
    means = results.means("programs", "wall")
    expect("how many rows are in the means", {n: count for n, (_, count) in means.items()},
           {"glibc": 2, "tbb": 1, R.OURS: 2})
    expect_near("our mean", means[R.OURS][0], 0.5 ** 0.5)
    expect("our worst", results.worst("programs", "wall"), (1.0, "two"))
    alone = made_up({"one": {R.OURS: [1.0]}})
    expect("ratios without a peer", alone.ratios("programs", "one", "wall"), {})
    R.to_markdown(alone)


def test_table():
    expect("table", R.table(["what", "a", "bcde"], [["x", "1.00", "2"]]),
           "| what |    a | bcde |\n| ---- | ---: | ---: |\n| x    | 1.00 |    2 |")
    expect("times", [R.time_text([v]) for v in (12.5, 0.25, 3.1e-5, 4e-9)],
           ["12.50 s (12.50..12.50)", "250.0 ms (250.0..250.0)", "31.00 us (31.00..31.00)", "4.00 ns (4.00..4.00)"])
    expect("ratios", [R.cell(v) for v in (None, 0.5, 1234.5)], ["-", "0.50", "1234"])


def test_markdown():
    text = R.to_markdown(example(), ["programs"])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in "| programs | glibc | tbb | libvmalloc |", "| one | 1.00 | 2.00 | 0.50 |", "| two | 1.00 | failed | 1.00 |":
        expect_in("a matrix", line, lines)
    for part in ("2.00 (1 of 2)", "failed: programs/two under tbb: exit status 9: ouch",
                 "SKIP: programs/three: not installed", "- one: what one does", "- tbb: tbb 1.0", "a machine",
                 "![programs](programs.svg)", "2.00 s (1.80..2.20)"):
        expect_in("results.md", part, text)


def test_files_can_be_read_again():
    results = example()
    results.samples["programs", "one"]["glibc"][0]["extra"] = {"rss_per_live": 1.5}
    results.add("micro", "pair/16", "glibc", sample(0, 1.25e-8))
    again = R.load(write(results, "out"))
    expect("samples", again.samples["programs", "one"], results.samples["programs", "one"])
    expect_near("nanoseconds", again.samples["micro", "pair/16"]["glibc"][0]["wall"], 1.25e-8, 1e-15)
    for what in "errors", "skipped", "about", "context":
        expect(what, getattr(again, what), getattr(results, what))


def test_google_benchmark_schema():
    folder = write(example(), "out")
    with open(os.path.join(folder, "results.json")) as file:
        document = json.load(file)
    expect("the parts", list(document), ["context", "benchmarks"])
    for entry in document["benchmarks"]:
        for key in "name", "run_name", "run_type", "repetitions", "threads", "iterations", "real_time", "cpu_time", "time_unit":
            expect_in("an entry", key, entry)
        if entry["run_type"] == "aggregate":
            expect("an aggregate's name", entry["name"], entry["run_name"] + "_" + entry["aggregate_name"])
    medians = {e["run_name"]: e["real_time"] for e in document["benchmarks"] if e.get("aggregate_name") == "median"}
    expect("a median", medians["programs/one/glibc"], 2.0)
    with open(os.path.join(folder, "results.csv")) as file:
        lines = list(csv.DictReader(file))
    expect("lines of the CSV", len(lines), len(document["benchmarks"]))
    expect("a failure's line", [line["error_message"] for line in lines if line["error_occurred"]], ["exit status 9: ouch"])


def test_bad_files():
    path = os.path.join(WORK, "bad.json")
    for text in ("", "{", "[]", '{"context": {}, "benchmarks": []}', '{"context": 1, "benchmarks": 2}'):
        with open(path, "w") as file:
            file.write(text)
        done = call("compare", path, path)
        expect("status of %r" % text, done.returncode, 2)
        expect_in("the complaint about %r" % text, path + ": not a results.json", done.stderr)
    done = call("compare", os.path.join(WORK, "none"), path)
    expect("status without a file", (done.returncode, "No such file" in done.stderr), (2, True))


# Names that mean something to gnuplot, a bar over the ceiling, a failed cell, an allocator without figures.
def test_plots():
    if not shutil.which("gnuplot"):
        raise Skip("gnuplot is not installed")
    results = example()
    for i in range(25):
        for name in results.allocators:
            results.add("micro", "it's/a_\"%d\"\\n{x}" % i, name, sample(0, (1.0 + i) * 1e-9, 1000 * len(name)))
    folder = write(results, "out")
    names = plot.draw_all(results, folder)
    expect("plots", names, ["programs", "micro", "time-and-memory"])
    for name in names:
        xml.etree.ElementTree.parse(os.path.join(folder, name + ".svg"))
        with open(os.path.join(folder, name + ".png"), "rb") as file:
            expect("the start of %s.png" % name, file.read(8), b"\x89PNG\r\n\x1a\n")


# ---- bench/run ------------------------------------------------------------------------------------------------------

def test_run():
    done = run("-n", "3", script="true")
    expect("status, stderr", (done.returncode, [line for line in done.stderr.splitlines() if "busy" not in line and
                                                "SKIP" not in line]), (0, []))
    expect_in("the table", "| libvmalloc |", done.stdout)
    expect("rounds", [rounds_of("glibc"), rounds_of("libvmalloc")], [[0, 1, 2], [0, 1, 2]])
    for name in "results.md", "results.csv":
        if not os.path.getsize(os.path.join(WORK, "out", name)):
            raise Failure("%s is empty" % name)


# A shell is smaller than the driver, by far: the driver's own memory must not be in the figure.
def test_rss_of_the_program_alone():
    run("-n", "1", script="true")
    results = R.load(os.path.join(WORK, "out"))
    ours = int(subprocess.run(["/usr/bin/python3", "-c", "import resource; print(resource.getrusage(resource.RUSAGE_SELF)"
                               ".ru_maxrss)"], stdout=subprocess.PIPE, text=True).stdout)
    rss = results.samples["command", "sh"]["glibc"][0]["rss"]
    if not 200 < rss < ours / 2:
        raise Failure("the peak RSS of a shell is %d KiB, of a Python %d KiB" % (rss, ours))


def test_turns():
    log = os.path.join(WORK, "log")
    run("-n", "3", script='case ${LD_PRELOAD:-} in *vmalloc*) echo v;; *) echo g;; esac >>"$0"', options=[log])
    with open(log) as file:
        expect("who ran when, after the first run before the start", file.read().split(), list("g" "gv" "vg" "gv"))


def test_json_to_stdout():
    done = run("-n", "1", "--json", script="true")
    expect("entries", len(json.loads(done.stdout)["benchmarks"]), 2 * (1 + len(R.AGGREGATES)))


def test_a_failure_costs_its_row_only():
    fails = 'case ${LD_PRELOAD:-} in *vmalloc*) %s;; esac'
    for script, reason in ((fails % "kill -SEGV $$", "ended by SIGSEGV"), (fails % "echo no luck >&2; kill -ABRT $$", "no luck"),
                           (fails % "exit 3", "exit status is not that of the first run")):
        done = run("-n", "2", script=script)
        expect("status", done.returncode, 1)
        expect_in("stderr", "FAIL: command/sh under libvmalloc: ", done.stderr)
        expect_in("stderr", reason, done.stderr)
        results = R.load(os.path.join(WORK, "out"))
        expect("glibc's rounds", len(results.samples["command", "sh"]["glibc"]), 2)
        expect("who failed", list(results.errors), [("command", "sh", "libvmalloc")])


def test_output_is_checked():
    script = 'case ${LD_PRELOAD:-} in *vmalloc*) echo 1;; *) echo 2;; esac'
    expect("status without --check", run("-n", "1", script=script).returncode, 0)
    expect("status with --check", run("-n", "1", "--check", script=script).returncode, 1)
    expect("status when they agree", run("-n", "1", "--check", script="echo 1").returncode, 0)


def test_input():
    path = os.path.join(WORK, "input")
    with open(path, "w") as file:
        file.write("line\n")
    script = 'read -r word; [ "$word" = line ] || kill -9 $$'
    expect("status with --input", run("-n", "2", "--input", path, script=script).returncode, 0)
    expect("status without", run("-n", "2", script=script).returncode, 1)


def test_resume():
    run("-n", "2", script="true")
    done = run("-n", "4", "--resume", script="true")
    expect("status", done.returncode, 0)
    expect("rounds", [rounds_of("glibc"), rounds_of("libvmalloc")], [[0, 1, 2, 3]] * 2)
    done = run("-n", "4", "--resume", script="true", VMALLOC_OPTIONS="brk=0")
    expect("status with another setting", (done.returncode, "other settings" in done.stderr), (1, True))
    run("-n", "1", script="true")
    expect("rounds of a new run", rounds_of("glibc"), [0])
    expect("rounds of the former one", len(R.load(os.path.join(WORK, "out", "previous.json"))
                                           .samples["command", "sh"]["glibc"]), 4)


def test_interrupt():
    environment = dict(os.environ, BENCH_BIN=BINARIES, VMALLOC_LIB=LIBRARY)
    out = os.path.join(WORK, "out")
    child = subprocess.Popen([os.path.join(BENCH, "run"), "-q", "--allocators", "glibc", "-n", "1000000", "--output", out,
                              "--command", "sleep", "0.01"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + LIMIT
    while not os.path.exists(os.path.join(out, "results.md")) and time.monotonic() < end:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=LIMIT)
    expect("status", child.returncode, 130)
    if not R.load(out).samples["command", "sleep"]["glibc"]:
        raise Failure("nothing was kept")


def test_time_limit():
    done = run("-n", "2", "--limit", "0.001", script="true")
    expect("status", done.returncode, 0)
    expect_in("stdout", "SKIP: command/sh: not reached within the time limit", done.stdout)
    expect("status of a million rounds", run("-n", "1000000", "--limit", "4", script="true").returncode, 0)


def test_wrong_calls():
    for arguments in (["--kind", "none"], ["-n", "0"], ["--no-such-option"], ["--command"], ["--only", "no such workload",
                                                                                             "--kind", "loops"]):
        done = call("run", "-q", "--output", os.path.join(WORK, "out"), *arguments)
        expect("status of %s" % arguments, (done.returncode, done.stdout), (2, ""))
    done = call("run", "-q", "--output", os.path.join(WORK, "out"), "--command", "no such program")
    expect("status of a program that is not there", done.returncode, 127)
    done = call("run", "-q", "--allocators", "none", "--command", "true")
    expect("status of an unknown allocator", (done.returncode, "there is no none" in done.stderr), (1, True))


def test_libraries_named_by_the_caller():
    done = call("allocators", "mine=" + LIBRARY, PEERS="more=%s none=/none.so" % LIBRARY)
    expect("names", [line.split()[0] for line in done.stdout.splitlines()], ["glibc", "mine", "more"])
    expect_in("stderr", "SKIP: none: /none.so cannot be preloaded", done.stderr)
    expect("status of a name used twice", call("allocators", "glibc=" + LIBRARY).returncode, 2)


# ---- scripts/compare ----------------------------------------------------------------------------------------------

def test_scripts_compare():
    def compare(*arguments):
        return call("../scripts/compare", *arguments)

    out = os.path.join(WORK, "out")
    done = compare("-q", "-n", "2", "--allocators", "glibc,libvmalloc", "--output", out, "--", "sh", "-c", "exit $1", "sh", "0")
    expect("status", done.returncode, 0)
    expect_in("stdout", "| libvmalloc |", done.stdout)
    expect("rounds", rounds_of("libvmalloc"), [0, 1])
    expect("--help", (compare("--help").returncode, compare("--help").stdout[:22]), (0, "usage: scripts/compare"))
    for arguments in ([], ["-n", "0", "true"], ["-n"], ["--none", "true"], ["--input", "/none", "true"]):
        done = compare(*arguments)
        expect("status of %s" % arguments, (done.returncode, done.stdout), (2, ""))
    expect("status of a program that is not there", compare("no such program").returncode, 127)


# ---- bench/compare --------------------------------------------------------------------------------------------------

def test_compare():
    draw = random.Random(6)

    def results(level):
        return made_up({w: {"glibc": noisy(draw, 1.0), R.OURS: noisy(draw, level)} for w in ("one", "two", "three")})

    old, same, worse = (write(results(level), name) for name, level in (("old", 1.0), ("same", 1.0), ("worse", 1.5)))
    done = call("compare", old, same)
    expect("status of no change", done.returncode, 0)
    expect_in("stdout", "wall time: 0 faster, 0 slower, 3 no difference seen", done.stdout)
    done = call("compare", old, worse, "-m", "wall")
    expect("status of a change for the worse", done.returncode, 1)
    expect_in("stdout", "wall time: 0 faster, 3 slower, 0 no difference seen", done.stdout)
    expect("status of one for the better", call("compare", worse, old).returncode, 0)
    done = call("compare", "-a", "glibc," + R.OURS, worse)
    expect("status within one run", (done.returncode, "3 slower" in done.stdout), (1, True))
    done = call("compare", old, worse, "--only", "t*", "-m", "wall")
    expect_in("with --only", "0 faster, 2 slower", done.stdout)
    for arguments in ([old], [old, worse, "-a", "none"], [old, worse, "-m", "none"], [old, worse, "--only", "none"], []):
        expect("status of %s" % arguments, call("compare", *arguments).returncode, 2)


# ---- bench/reclaim/run ----------------------------------------------------------------------------------------------

def test_reclaim():
    out = os.path.join(WORK, "reclaim")
    done = call("reclaim/run", "-n", "2", "--only", "ageing", "--seconds", "1", "--with", "no-brk:brk=0", "--output", out,
                "libvmalloc=" + LIBRARY)
    expect("status", (done.returncode, done.stderr), (0, "".join(
        "ageing, round %d, %s\n" % (number, name) for number, names in
        ((1, ("glibc", "libvmalloc", "no-brk")), (2, ("libvmalloc", "no-brk", "glibc"))) for name in names)))
    expect_in("stdout", "| | glibc | libvmalloc | no-brk |\n", done.stdout)
    with open(os.path.join(out, "reclaim.md"), encoding="utf-8") as file:
        expect("reclaim.md", file.read(), done.stdout)
    with open(os.path.join(out, "reclaim.csv"), encoding="utf-8") as file:
        samples = [row for row in csv.DictReader(file) if row["figure"] == "faults"]
    expect("samples", sorted((row["allocator"], row["round"]) for row in samples),
           [(name, number) for name in ("glibc", "libvmalloc", "no-brk") for number in "01"])
    middle = [sum(float(row["value"]) for row in samples if row["allocator"] == name) / 2
              for name in ("glibc", "libvmalloc", "no-brk")]
    expect_in("stdout", "| page faults | " + " | ".join("{:,.0f}".format(value) for value in middle) + " |\n", done.stdout)


def test_reclaim_wrong_calls():
    for arguments in (["--only", "none"], ["--mb", "0"], ["--with", "x"], ["--with", "x:y=1", "mine=" + LIBRARY], ["--none"],
                      ["glibc=" + LIBRARY]):
        done = call("reclaim/run", "--output", os.path.join(WORK, "none"), *arguments)
        expect("status of %s" % arguments, (done.returncode, done.stdout), (2, ""))
    done = call("reclaim/run", "--only", "ageing", "--seconds", "1", "-n", "1", "--output", os.path.join(WORK, "none"),
                "false=" + os.path.join(WORK, "none.so"))
    expect("status without the other library", (done.returncode, "SKIP: false" in done.stderr), (0, True))


def main():
    failures = 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        label = "bench: " + name[len("test_"):].replace("_", " ")
        try:
            test()
            print("PASS " + label, flush=True)
        except Skip as reason:
            print("SKIP %s: %s" % (label, reason), flush=True)
        except (Failure, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
            print("FAIL %s: %s" % (label, repr(error).replace("\n", "\\n")), flush=True)
            failures += 1
        os.system("rm -rf '%s'; mkdir '%s'" % (WORK, WORK))
    os.system("rm -rf '%s' '%s'" % (WORK, BINARIES))
    return 1 if failures else 0


sys.exit(main())
