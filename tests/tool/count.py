"""Tests vmalloc run: counts of a program whose calls are known, however it ends, over exec, fork and threads; text, JSON, one
file a process; --read, --set, --lib; programs into which nothing can be preloaded; bad arguments;
the example of the C interface; malloc_info. Run by tests/tool/run, or by
hand after a build. Usage: count.py ROOT   (VMALLOC: the command, default ROOT/build/vmalloc; CC: the compiler)"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

sys.dont_write_bytecode = True
import manual  # noqa: E402

ROOT = os.path.realpath(sys.argv[1])
VMALLOC = os.environ.get("VMALLOC", os.path.join(ROOT, "build/vmalloc"))
WORK = tempfile.mkdtemp()
PROGRAM = os.path.join(WORK, "count")
FAILURES = 0


def check(name, good, why=""):
    global FAILURES
    FAILURES += not good
    print("PASS run: " + name if good else "FAIL run: %s: %s" % (name, str(why).replace("\n", "\\n")[:600]), flush=True)


def call(arguments, command=None, **more):
    return subprocess.run([command or VMALLOC, "run"] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=240, **more)


def figures(*program):
    done = call(["--json", "--"] + list(program))
    return done.returncode, json.loads(done.stderr)


def by_class(process):
    return {c["class_bytes"]: (c["calls"], c["frees"], c["live_blocks"]) for c in process["classes"]}


# Beside the program's own calls libc has a few, of sizes that are not looked at here.
LIVE = {112: (1000, 405, 595), 5120: (10, 0, 10), 3072: (5, 0, 5), None: (3, 1, 2)}


def known(name, process, wanted=None):
    found = by_class(process)
    for size, numbers in (wanted or LIVE).items():
        check("%s: class %s" % (name, size or "large"), found.get(size) == numbers, "%s, not %s" % (found.get(size), numbers))


def test_ends():
    status, found = figures(PROGRAM, "exit")
    check("exit: status", status == 0 and found["program"]["exit_status"] == 0, found["program"])
    process, = found["processes"]
    check("exit: exited", process["exited"] is True, process)
    known("exit", process)
    check("exit: reallocs", process["reallocs"] == 12, process["reallocs"])
    asked = [c["asked_bytes"] for c in process["classes"] if c["class_bytes"] in (112, 5120)]
    check("exit: asked", asked == [112000, 50000], process)
    live = 595 * 112 + 10 * 5120 + 5 * 3072 + 2 * 200704
    check("exit: live bytes", live <= process["live_bytes"] < live + 8192, process["live_bytes"])
    peak = 600 * 112 + 10 * 5120 + 3 * 200704
    check("exit: peak", peak * 15 // 16 <= process["peak_live_bytes"] < peak + 8192, process["peak_live_bytes"])
    check("exit: space", process["peak_space_bytes"] > process["peak_live_bytes"], process)
    for end, wanted in ("_exit", 7), ("kill", -signal.SIGKILL), ("abort", -signal.SIGABRT):
        status, found = figures(PROGRAM, end)
        process, = found["processes"]
        check("%s: status" % end, status == wanted, status)
        check("%s: not exited" % end, process["exited"] is False, process)
        calls = {size: n[0] for size, n in by_class(process).items()}
        check("%s: calls" % end, (calls[112], calls[5120], calls[None]) == (1000, 10, 3), calls)


def test_processes():
    status, found = figures(PROGRAM, "exec")
    check("exec: processes", len(found["processes"]) == 2 and found["processes"][0]["pid"] == found["processes"][1]["pid"], found)
    known("exec: second program", found["processes"][1])
    status, found = figures(PROGRAM, "fork")
    check("fork: processes", [p["forked"] for p in found["processes"]] == [False, True], found)
    known("fork: parent", found["processes"][0])
    known("fork: child", found["processes"][1], {112: (0, 100, 495), 5120: (0, 0, 10), None: (0, 0, 2)})
    status, found = figures(PROGRAM, "threads")
    known("threads", found["processes"][0], {**LIVE, 64: (20000, 20000, 0)})


def test_output():
    done = call(["--", PROGRAM, "exit"])
    text = done.stderr.decode()
    for piece in ("blocks handed out", "at exit", "slack", "fragments", "faults", "112           1000            405          595",
                  "status 0"):
        check("text: " + piece, piece in text, text)
    check("text: no colours, nothing on stdout", "\033" not in text and done.stdout == b"", text)
    base = os.path.join(WORK, "out")
    done = call(["-o", base, "--json", PROGRAM, "fork"])
    files = sorted(f for f in os.listdir(WORK) if f.startswith("out."))
    loaded = [json.load(open(os.path.join(WORK, f))) for f in files]
    check("a file a process", len(files) == 2 and sorted("out.%d" % p["pid"] for p in loaded) == files, files)
    check("with --output nothing on stderr", done.stderr == b"", done.stderr)
    ends = [p["program"]["exit_status"] for p in loaded if "program" in p]
    check("how the program ended, once", ends == [0] and all("program" in p for p in loaded if not p["forked"]), loaded)
    for f in files:
        os.unlink(os.path.join(WORK, f))
    call(["-o", base, PROGRAM, "exec"])
    files = sorted(f for f in os.listdir(WORK) if f.startswith("out."))
    check("a file a program of one process", len(files) == 2 and files[1] == files[0] + ".2", files)
    done = call(["-o", os.path.join(WORK, "no/such/folder"), PROGRAM])
    check("output to nowhere", done.returncode == 0 and done.stderr.count(b"\n") == 1 and b"no/such/folder" in done.stderr, done)


def test_many():
    """More processes than the file has room for: those are said, and JSON stays JSON."""
    script = "i=0; while [ $i -lt 4000 ]; do (exit 0); i=$((i + 1)); done"
    found = json.loads(call(["--json", "--", "sh", "-c", script]).stderr)
    counted = len(found["processes"])
    check("many: counted and left out", counted > 3000 and found["not_counted"] > 0, (counted, found["not_counted"]))
    check("many: all of them", counted * 2 + found["not_counted"] >= 8002, (counted, found["not_counted"]))
    few = json.loads(call(["--json", "--", PROGRAM, "fork"]).stderr)
    check("few: none left out", few["not_counted"] == 0, few["not_counted"])


def test_documented():
    page = os.path.join(ROOT, "man/vmalloc-run.1")
    for end in "exit", "abort":
        missing = manual.missing_keys(page, json.loads(call(["--json", "--tlb", "zen4", PROGRAM, end]).stderr))
        check("keys of vmalloc run --json that its manual does not have, %s" % end, missing == [], missing)


def test_tlb():
    done = call(["--json", "--tlb", "zen4", PROGRAM, "threads"])
    process, = json.loads(done.stderr)["processes"]
    tlb = process["tlb"]
    check("tlb: references", tlb["preset"] == "zen4" and tlb["references"] >= 41000, tlb)
    check("tlb: sum", tlb["references"] == tlb["l1_hits"] + tlb["l2_hits"] + tlb["misses"], tlb)
    known("tlb: counts", process, {**LIVE, 64: (20000, 20000, 0)})
    done = call(["--tlb", "no-such-processor", PROGRAM])
    check("tlb: no such processor", done.returncode == 0 and b"no-such-processor" in done.stderr, done.stderr)


def test_read():
    path = os.path.join(WORK, "counts")
    with open(path, "wb") as file:
        file.truncate(1 << 20)
    library = os.path.join(os.path.dirname(VMALLOC), ".libs/libvmalloc.so")
    subprocess.run([PROGRAM], env=dict(os.environ, LD_PRELOAD=library, VMALLOC_OPTIONS="stats=" + path), timeout=240, check=True)
    done = call(["--read", path, "--json"])
    found = json.loads(done.stdout)
    check("--read", done.returncode == 0 and "program" not in found, found)
    known("--read", found["processes"][0])
    with open(path, "r+b") as file:
        file.truncate(100000)
    bad = {"no such file": path + "x", "a cut one": path, "an empty one": "/dev/null", "another one": PROGRAM, "a folder": WORK}
    for name, file in bad.items():
        done = call(["--read", file])
        check("--read of " + name, done.returncode == 1 and done.stderr.count(b"\n") == 1 and file.encode() in done.stderr, done)


def test_arguments():
    for arguments in [], ["--nothing"], ["-o"], ["--read", "x", "true"]:
        done = call(arguments)
        check("usage: %s" % arguments, done.returncode == 2 and done.stderr.startswith(b"vmalloc run: "), done)
    done = call(["--help"])
    check("--help", done.returncode == 0 and done.stdout.startswith(b"usage: vmalloc run"), done)
    check("not found", call(["no-such-program-anywhere"]).returncode == 127)
    check("not executable", call(["/etc/passwd"]).returncode == 126)
    done = call(["--lib", "/no/such/lib.so", "true"])
    check("no such library", done.returncode == 1 and b"/no/such/lib.so" in done.stderr, done)
    alone = os.path.join(WORK, "with space")
    os.mkdir(alone)
    shutil.copy(VMALLOC, alone)
    open(os.path.join(alone, "libvmalloc.so"), "w").close()
    done = call(["true"], command=os.path.join(alone, "vmalloc"))
    check("a path that LD_PRELOAD cannot name", done.returncode == 1 and b"space" in done.stderr, done)
    done = call(["--set", "brk=0", "--", "sh", "-c", "echo $VMALLOC_OPTIONS"], env=dict(os.environ, VMALLOC_OPTIONS="brk=1"))
    check("--set", done.stdout.startswith(b"brk=1,brk=0,stats=/"), done.stdout)


def test_not_loaded():
    source = os.path.join(WORK, "static.c")
    with open(source, "w") as file:
        file.write("int main(void) { return 5; }\n")
    program = os.path.join(WORK, "static")
    if subprocess.run([os.environ.get("CC", "cc"), "-static", source, "-o", program], stderr=subprocess.DEVNULL).returncode:
        print("SKIP run: static program: no static libc")
    else:
        done = call([program])
        check("static program", done.returncode == 5 and done.stderr.count(b"\n") == 1 and b"statically linked" in done.stderr,
              done)


def test_interface():
    """The example of the C interface, and malloc_info's XML."""
    built = os.path.dirname(VMALLOC)
    program = os.path.join(WORK, "inspect")
    subprocess.run([os.environ.get("CC", "cc"), "-fno-builtin", "-I", os.path.join(ROOT, "include"), "-Wall", "-Werror",
                    os.path.join(ROOT, "examples/inspect.c"), os.path.join(built, ".libs/libvmalloc.so"), "-o", program],
                   check=True)
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.join(built, ".libs"), VMALLOC_OPTIONS="stats=1")
    done = subprocess.run([program], env=environment, stdout=subprocess.PIPE, timeout=240)
    lines = done.stdout.decode().split("\n", 4)
    account = json.loads(lines[4])
    check("example: status", done.returncode == 0, done.returncode)
    check("example: address", lines[1].endswith("lies 7 bytes into a block of 208"), lines[1])
    check("example: walk", int(lines[3].split()[-2]) == account["small_live_bytes"] + account["large_live_bytes"], lines)
    calls = {c["class_bytes"]: (c["calls"], c["frees"], c["live_blocks"], c["asked_bytes"]) for c in account["classes"]}
    check("example: class 208", calls[208] == (10000, 9900, 100, 2080000), calls[208])
    check("example: peak", account["peak_live_bytes"] >= 2080000 * 15 // 16, account["peak_live_bytes"])
    source = os.path.join(WORK, "xml.c")
    with open(source, "w") as file:
        file.write("#include <malloc.h>\n#include <stdlib.h>\n"
                   "int main(void) { void *volatile p = malloc(100); (void)p; return malloc_info(0, stdout); }\n")
    program = os.path.join(WORK, "xml")
    subprocess.run([os.environ.get("CC", "cc"), source, "-o", program], check=True)
    environment = dict(os.environ, LD_PRELOAD=os.path.join(built, ".libs/libvmalloc.so"), VMALLOC_OPTIONS="stats=1")
    done = subprocess.run([program], env=environment, stdout=subprocess.PIPE, timeout=240)
    tree = ElementTree.fromstring(done.stdout)
    found = [c.attrib for c in tree.iter("class") if c.attrib["bytes"] == "112"]
    check("malloc_info: class", len(found) == 1 and found[0]["calls"] == "1" and found[0]["live_blocks"] == "1", found)
    check("malloc_info: heap", [h.attrib["state"] for h in tree.iter("heap")] == ["live"], done.stdout)
    names = {f.attrib["name"] for f in tree.iter("figure")}
    check("malloc_info: the figures of JSON", names == set(account) & names and len(names) > 10, names)


def main():
    source = os.path.join(ROOT, "tests/tool/count.c")
    subprocess.run([os.environ.get("CC", "cc"), "-O0", "-fno-builtin", source, "-o", PROGRAM, "-pthread"], check=True)
    for test in (test_ends, test_processes, test_output, test_documented, test_many, test_tlb, test_read, test_arguments,
                 test_not_loaded, test_interface):
        try:
            test()
        except (subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
            check(test.__name__, False, repr(error))
    shutil.rmtree(WORK)
    return 1 if FAILURES else 0


sys.exit(main())
