# Tests vmalloc stat and vmalloc where on real processes and core files: figures equal the program's own account, at once
# and while eight threads change the heap; every input that is wrong ends with status 1 and one line, and nothing hangs.
# Run by tests/tool/run, or by hand after a build. Usage: stat.py ROOT
# (environment: BUILD, default ROOT/build; SEED for the damage done to core files)
import ctypes
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(sys.argv[1])
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
VMALLOC = os.path.join(BUILD, "vmalloc")
LIBRARY = os.path.join(BUILD, ".libs/libvmalloc.so")
ARCHIVE = os.path.join(BUILD, ".libs/libvmalloc.a")
HERE = os.path.dirname(os.path.realpath(__file__))
WORK = tempfile.mkdtemp()
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
LIMIT = 240
CASES = []
RUNNING = []


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


def expect(what, got, wanted):
    if got != wanted:
        raise Failure("%s is %.500r, not %.500r" % (what, got, wanted))


def tool(*arguments, status=0, before=None):
    done = subprocess.run([VMALLOC, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT, preexec_fn=before)
    if done.returncode != status:
        raise Failure("%s: status %d, not %d: %s" % (arguments, done.returncode, status, done.stderr.decode()))
    return done.stdout.decode(), done.stderr.decode()


def refused(text, *arguments, status=1, before=None):
    """The command fails with one line that says so."""
    out, err = tool(*arguments, status=status, before=before)
    if out or err.count("\n") != 1 or text not in err:
        raise Failure("%s: wanted one line with %r, got %.500r" % (arguments, text, err + out))


def stat(what, *options, before=None):
    return json.loads(tool("stat", "-j", *options, what, before=before)[0])


LIBC = ctypes.CDLL(None)


def readable():
    """Where Yama lets only ancestors read a process (ptrace_scope 1), this one may be read by its user all the same."""
    LIBC.prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY


def start(command, preload=True, options="", mode="wait", **more):
    environment = dict(os.environ)
    if preload:
        environment["LD_PRELOAD"] = LIBRARY
    environment["VMALLOC_OPTIONS"] = options
    more.setdefault("preexec_fn", readable)
    process = subprocess.Popen([*command, mode] if mode else command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=environment, **more)
    RUNNING.append(process)
    return process


def end(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    RUNNING.remove(process)


def hello(process):
    """The addresses and the account that the test program prints."""
    live, freed, large, pid = process.stdout.readline().decode().split()
    text = b""
    while b"</malloc>" not in text:
        line = process.stdout.readline()
        if not line:
            raise Failure("the test program ended early: %r" % text)
        text += line
    small = re.search(rb'<total type="small"[^>]* size="(\d+)"', text)
    large_total = re.search(rb'<total type="mmap" count="(\d+)" size="(\d+)"', text)
    heaps = re.search(rb'<heaps count="(\d+)"', text)
    return {"live": int(live, 16), "freed": int(freed, 16), "large": int(large, 16), "pid": int(pid),
            "small_live_bytes": int(small[1]), "large_live_blocks": int(large_total[1]),
            "large_live_bytes": int(large_total[2]), "heaps": int(heaps[1])}


def build(name, *flags):
    program = os.path.join(WORK, name)
    done = subprocess.run(["gcc", "-O1", "-o", program, os.path.join(HERE, "peeked.c"), *flags, "-pthread"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Skip("cannot be built: %s" % done.stdout.decode().splitlines()[-1])
    return program


def agree(account, figures):
    for key in ("small_live_bytes", "large_live_blocks", "large_live_bytes", "heaps"):
        expect(key, figures[key], account[key])
    by_class = sum(c["live_blocks"] * c["class_bytes"] for c in figures["classes"])
    expect("the sum over the classes", by_class, figures["small_live_bytes"])
    parts = sum(figures["slab_%s_bytes" % part] for part in ("free", "untouched", "tail")) + figures["small_live_bytes"]
    expect("live and slack of slabs", parts, figures["slab_bytes"])
    expect("descriptors left out", figures["left_out"], 0)


# ---- stat ----------------------------------------------------------------------------------------------------------

@case("stat: a preloaded program with threads")
def preloaded():
    process = start([PEEKED])
    account = hello(process)
    figures = stat(process.pid)
    agree(account, figures)
    expect("pid", figures["pid"], process.pid)
    expect("command", figures["command"], "peeked")
    if figures["heaps"] < 5 or figures["process_resident_bytes"] < 5000000 or figures["process_minor_faults_total"] < 100:
        raise Failure("%r" % figures)
    text = tool("stat", "--classes", process.pid)[0]
    for word in ("live", "fragmentation", "resident (RSS)", "slab bytes", "peeked, process %d" % process.pid):
        if word not in text:
            raise Failure("no %r in %s" % (word, text))
    end(process)


@case("stat: without the brk heap; with the complete shadow")
def without_brk():
    for options in ("brk=0", "vm=1"):
        process = start([PEEKED], options=options)
        agree(hello(process), stat(process.pid))
        end(process)


@case("stat: linked statically, and stripped")
def static():
    program = build("static", "-static", "-s", ARCHIVE)
    process = start([program], preload=False)
    agree(hello(process), stat(process.pid))
    end(process)


@case("stat: linked statically, position-independent, with unused sections removed")
def static_pie():
    program = build("staticpie", "-static-pie", "-fPIE", "-Wl,--gc-sections", ARCHIVE)
    process = start([program], preload=False)
    agree(hello(process), stat(process.pid))
    end(process)


@case("stat: while eight threads change the heap")
def moving():
    process = start([PEEKED], mode="busy")
    hello(process)
    for _ in range(40):
        figures = stat(process.pid)
        if not 4 << 20 < figures["small_live_bytes"] + figures["large_live_bytes"] < 1 << 34:
            raise Failure("live is %d and %d" % (figures["small_live_bytes"], figures["large_live_bytes"]))
        if figures["left_out"] > 50:
            raise Failure("%d descriptors left out" % figures["left_out"])
    expect("the program", process.poll(), None)
    end(process)


@case("stat: Prometheus text")
def prometheus():
    process = start([PEEKED])
    account = hello(process)
    out = tool("stat", "-p", process.pid)[0]
    types, helps, samples = {}, set(), {}
    for line in out.splitlines():
        if line.startswith("# HELP "):
            helps.add(line.split()[2])
        elif line.startswith("# TYPE "):
            types[line.split()[2]] = line.split()[3]
        else:
            found = re.fullmatch(r'([a-z_]+)\{((?:[a-z]+="[^"\\\n]*",?)*)\} ([-+.0-9e]+)', line)
            if not found or found[1] not in types or found[1] not in helps or (found[1], found[2]) in samples:
                raise Failure("a sample: %r" % line)
            samples[found[1], found[2]] = float(found[3])
    labels = 'pid="%d",command="peeked"' % process.pid
    expect("small_live_bytes", samples["vmalloc_small_live_bytes", labels], account["small_live_bytes"])
    expect("the type of faults", types["vmalloc_process_minor_faults_total"], "counter")
    if samples["vmalloc_class_live_blocks", labels + ',class="704"'] < 1:
        raise Failure("no block of 704 bytes")
    end(process)


@case("stat: several processes, and one that is gone")
def several():
    processes = [start([PEEKED]) for _ in range(3)]
    accounts = [hello(process) for process in processes]
    pids = [process.pid for process in processes]
    end(processes[2])
    out, err = tool("stat", "-j", *pids, pids[0], status=1)
    if err.count("\n") != 1 or "%d: no such process" % pids[2] not in err:
        raise Failure("of the one that is gone: %r" % err)
    expect("pids in JSON", [figures["pid"] for figures in json.loads(out)], pids[:2])
    for account, figures in zip(accounts, json.loads(out)):
        agree(account, figures)
    out = tool("stat", "-p", *pids, status=1)[0]
    for word in "HELP", "TYPE":
        names = re.findall("^# %s (\\S+)" % word, out, re.M)
        expect("metrics with two lines of %s" % word, [name for name in names if names.count(name) > 1], [])
    samples = re.findall(r'^vmalloc_small_live_bytes\{pid="(\d+)",[^}]*\} (\d+)$', out, re.M)
    expect("samples", samples, [(str(p), str(a["small_live_bytes"])) for p, a in zip(pids, accounts[:2])])
    together = re.findall(r"^vmalloc_([a-z_]+)\{", out, re.M)
    apart = [name for i, name in enumerate(together) if i and name in together[:i] and together[i - 1] != name]
    expect("metrics whose samples do not stand together", apart, [])
    out = tool("stat", *pids[:2])[0]
    expect("reports as text", re.findall("process ([0-9]+), libvmalloc", out), [str(pid) for pid in pids[:2]])
    expect("JSON when none could be read", tool("stat", "-j", pids[2], pids[2], status=1)[0], "[]\n")
    for process in processes[:2]:
        end(process)


@case("stat: calls that are counted")
def counted():
    process = start([PEEKED], options="stats=1")
    account = hello(process)
    figures = stat(process.pid)
    agree(account, figures)
    live = sum(c["live_blocks"] for c in figures["classes"]) + figures["large_live_blocks"]
    expect("handed out less taken back", figures["calls_total"] - figures["frees_total"], live)
    if not 8000 < figures["calls_total"] < 8100 or not 2660 < figures["frees_total"] < 2760:
        raise Failure("%d calls, %d frees" % (figures["calls_total"], figures["frees_total"]))
    of_704 = [c for c in figures["classes"] if c["class_bytes"] == 704][0]
    expect("handed out less taken back of 704 bytes", of_704["calls_total"] - of_704["frees_total"], of_704["live_blocks"])
    if not 0 < figures["rounding_ratio"] < 0.15:
        raise Failure("rounding is %g" % figures["rounding_ratio"])
    if 'vmalloc_class_calls_total{pid="%d",command="peeked",class="large"} 1\n' % process.pid not in tool("stat", "-p",
                                                                                                          process.pid)[0]:
        raise Failure("no large block counted")
    end(process)
    process = start([PEEKED])
    hello(process)
    if "stats=1" not in tool("stat", process.pid)[0] or "calls_total" in stat(process.pid):
        raise Failure("what does not count should say how to make it count")
    end(process)


@case("stat: the TLB model, when one is fed")
def modelled():
    process = start([PEEKED], options="tlb=zen4")
    hello(process)
    figures = stat(process.pid)
    expect("the preset", figures["tlb_preset"], "zen4")
    total = sum(figures["tlb_%s_total" % part] for part in ("l1_hits", "l2_hits", "misses"))
    expect("references", figures["tlb_references_total"], total)
    if not 8000 < total < 100000 or not 0 < figures["tlb_misses_total"] < total:
        raise Failure("%d references, %d misses" % (total, figures["tlb_misses_total"]))
    if "fed with allocator events" not in tool("stat", process.pid)[0]:
        raise Failure("the text does not name the feed")
    end(process)


@case("stat, rss, map, tlb, where: a process whose first thread has ended")
def first_thread_ended():
    source = os.path.join(WORK, "headless.c")
    with open(source, "w") as file:
        file.write("#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
                   "static void *run(void *main) {\n pthread_join(*(pthread_t *)main, 0);\n"
                   " for (int i = 0; i < 1000; i++) memset(malloc(1000), 1, 1000);\n"
                   " printf(\"%p\\n\", malloc(1000)); fflush(stdout); getchar(); return 0; }\n"
                   "int main(void) { static pthread_t me, t; me = pthread_self(); pthread_create(&t, 0, run, &me);"
                   " pthread_exit(0); }\n")
    program = os.path.join(WORK, "headless")
    subprocess.run(["gcc", "-O1", "-fno-builtin", "-o", program, source, "-pthread"], check=True)
    process = start([program], mode=None)
    address = process.stdout.readline().decode().strip()
    with open("/proc/%d/stat" % process.pid) as file:
        expect("state of the process", file.read().split()[2], "Z")
    figures = stat(process.pid)
    expect("pid and program", (figures["pid"], figures["command"]), (process.pid, "headless"))
    (thousands,) = [c for c in figures["classes"] if c["class_bytes"] == 1024]
    expect("blocks of a thousand bytes", thousands["live_blocks"] >= 1001, True)
    account = json.loads(tool("rss", "-j", process.pid)[0])
    expect("pid", account["pid"], process.pid)
    if account["rss"] < 1001000 or abs(account["residual"]) > account["rss"] / 100 or account["parts"]["program"] == 0:
        raise Failure("the account is %r" % account)
    for command in "map", "tlb":
        expect(command, json.loads(tool(command, "-j", process.pid)[0])["pid"], process.pid)
    place = json.loads(tool("where", "-j", process.pid, address)[0])
    expect("the block", (place["block"]["start"], place["block"]["state"]), (address, "live"))
    if "[heap]" not in place["mapping"]:
        raise Failure("the mapping is %r" % place["mapping"])
    end(process)


@case("stat: redis-server agrees with its own count")
def redis():
    server, client = shutil.which("redis-server"), shutil.which("redis-cli")
    if not server or not client:
        raise Skip("redis-server is not installed")
    path = os.path.join(WORK, "redis.sock")
    process = start([server, "--port", "0", "--unixsocket", path, "--save", ""], mode=None)
    until("listening", lambda: os.path.exists(path))

    def ask(*words):
        return subprocess.run([client, "-s", path, *words], stdout=subprocess.PIPE, timeout=LIMIT).stdout.decode()
    ask("debug", "populate", "100000")
    used = int(re.search(r"used_memory:(\d+)", ask("info", "memory"))[1])
    figures = stat(process.pid)
    live = figures["small_live_bytes"] + figures["large_live_bytes"]
    if not used * 0.97 < live < used * 1.10 + 3e6:
        raise Failure("redis counts %d bytes, the heap %d" % (used, live))
    end(process)


# ---- where ---------------------------------------------------------------------------------------------------------

@case("where: live, freed, inside, large, not ours")
def where():
    for options in ("", "brk=0", "vm=1"):
        process = start([PEEKED], options=options)
        account = hello(process)

        def ask(address):
            return json.loads(tool("where", "-j", process.pid, hex(address))[0])
        live = ask(account["live"])
        expect("the owner", live["owner"], "slab")
        expect("the class", live["block_bytes"], 704)
        expect("the block", (live["block"]["start"], live["block"]["state"]), (hex(account["live"]), "live"))
        expect("a freed block", ask(account["freed"])["block"]["state"], "free")
        inside = ask(account["live"] + 300)
        expect("inside a block", inside["block"], live["block"])
        large = ask(account["large"] + 2500000)
        expect("a large block", (large["owner"], large["start"], large["offset"]),
               ("large block", hex(account["large"]), 2500000))
        first = ask(account["large"])["walk"]["names"]
        expect("the levels of a walk", [s["name"] for s in first], ["PGD", "PUD", "PMD", "PTE"])
        expect("the indices", [s["index"] for s in first], [account["large"] >> s & 511 for s in (39, 30, 21, 12)])
        expect("the owner of the leaf", first[-1]["owner"], "extent")
        if options == "brk=0":
            expect("the owner of the leaf", live["walk"]["names"][-1]["owner"], "zone")
        if options == "vm=1" and "handed-out" not in live["walk"]["pages"][-1]["bits"]:
            raise Failure("%r" % live["walk"])
        expect("what is not ours", ask(0x1000)["owner"], None)
        text = tool("where", process.pid, "%x" % account["freed"])[0]
        if "704 bytes: free" not in text or "index" not in text:
            raise Failure(text)
        end(process)


# ---- Core files ----------------------------------------------------------------------------------------------------

def kernel_core():
    """A core file of the test program's abort(), and its account."""
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if pattern.startswith("|") or "/" in pattern:
        return None, None
    folder = tempfile.mkdtemp(dir=WORK)

    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        process = start([PEEKED], mode="abort", cwd=folder, preexec_fn=limit)
    except subprocess.SubprocessError:
        return None, None
    account = hello(process)
    process.wait()
    files = os.listdir(folder)
    end(process)
    return (os.path.join(folder, files[0]), account) if files else (None, None)


def gcore():
    if not shutil.which("gcore"):
        return None, None
    process = start([PEEKED])
    account = hello(process)
    subprocess.run(["gcore", "-o", os.path.join(WORK, "gcore"), str(process.pid)], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=LIMIT)
    core = os.path.join(WORK, "gcore.%d" % process.pid)
    end(process)
    return (core, account) if os.path.exists(core) else (None, None)


def any_core():
    core, account = kernel_core()
    if not core:
        core, account = gcore()
    if not core:
        raise Skip("no core file can be made here: core_pattern leads elsewhere, and there is no gcore")
    return core, account


@case("core: stat and where of a core file that the kernel wrote")
def core_kernel():
    core, account = kernel_core()
    if not core:
        raise Skip("core files are not written to the working folder here")
    figures = stat(core)
    agree(account, figures)
    expect("the pid and the program", (figures["pid"], figures["command"]), (account["pid"], "peeked"))
    expect("the source", figures["source"], "core")
    block = json.loads(tool("where", "-j", core, hex(account["live"]))[0])["block"]
    expect("a block in the core", (block["start"], block["state"]), (hex(account["live"]), "live"))


@case("core: stat of one that gcore wrote")
def core_gcore():
    core, account = gcore()
    if not core:
        raise Skip("gcore is not installed, or may not look at processes")
    agree(account, stat(core))


@case("core: truncated anywhere: one line, status 1")
def core_truncated():
    core, _ = any_core()
    size = os.path.getsize(core)
    cut = os.path.join(WORK, "cut")
    shutil.copy(core, cut)
    for length in (size - 1, size // 2, 100000, 4096, 1000, 64, 63, 16, 4, 1, 0):
        os.truncate(cut, length)
        refused("core file", "stat", cut)
        refused("core file", "where", cut, "1000")


@case("core: damaged at random: a report or one line, nothing hangs")
def core_damaged():
    core, _ = any_core()
    print("SEED=%d" % SEED)
    rng = random.Random(SEED)
    with open(core, "rb") as file:
        whole = file.read()
    block = whole.find(b"vmalloc\x8f\xa5\xc3\x1b.blk\n")
    facts = [at.start() for at in re.finditer(rb"page\.held\0|zone\.base\0|&zones\0|&meta_chunks\0|#FRAME_SHIFT\0", whole)]
    places = [(0, 64), (64, 4000), (block, 200)] + [(at, 2000) for at in facts]
    damaged = os.path.join(WORK, "damaged")
    outcomes = {0: 0, 1: 0}
    for turn in range(120):
        with open(damaged, "wb" if turn == 0 else "r+b") as file:
            if turn == 0:
                file.write(whole)
            at, length = places[turn % len(places)]
            where_to = at + rng.randrange(length)
            count = rng.choice((1, 1, 2, 8))
            file.seek(where_to)
            file.write(rng.choice((bytes(count), b"\xff" * count, rng.randbytes(count))))
        done = subprocess.run([VMALLOC, "stat", damaged], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
        if done.returncode not in outcomes or (done.returncode == 1 and done.stderr.count(b"\n") != 1):
            raise Failure("turn %d: status %d: %.300r" % (turn, done.returncode, done.stderr))
        outcomes[done.returncode] += 1
        with open(damaged, "r+b") as file:
            file.seek(where_to)
            file.write(whole[where_to:where_to + count])
    if outcomes[1] == 0:
        raise Failure("no damage was noticed in 120 turns")


# ---- share=1 -------------------------------------------------------------------------------------------------------

def page_of(pid):
    return "/dev/shm/vmalloc.%d" % pid


def forbid_reading():
    """From here on process_vm_readv ends with EPERM, as where Yama forbids it."""
    number = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x00050001), (6, 0, 0, 0x7fff0000)]
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(text)))
    if LIBC.prctl(38, 1, 0, 0, 0) != 0 or LIBC.prctl(22, 2, program, 0, 0) != 0:
        os._exit(99)


def until(what, condition):
    for _ in range(LIMIT * 20):
        if condition():
            return
        time.sleep(0.05)
    raise Failure("after %d seconds: not %s" % (LIMIT, what))


@case("share=1: read where reading memory is forbidden, removed at exit")
def share():
    if not os.access("/dev/shm", os.W_OK):
        raise Skip("/dev/shm cannot be written")
    process = start([PEEKED], options="share=1", mode="busy")
    account = hello(process)
    until("half of the account is published", lambda: tool("stat", process.pid, before=forbid_reading) and
          stat(process.pid, "--shared")["small_live_bytes"] > account["small_live_bytes"] / 2)
    expect("the mode", os.stat(page_of(process.pid)).st_mode & 0o7777, 0o600)
    figures = stat(process.pid, before=forbid_reading)
    expect("the source", figures["source"], "share")
    if not account["heaps"] == figures["heaps"] or not 0 <= figures["age_seconds"] < 30:
        raise Failure("%r" % figures)
    if "as it published by itself" not in tool("stat", "--shared", process.pid)[0]:
        raise Failure("the text does not say whose figures these are")
    end(process)
    script = "import os; x = [bytes(500) for i in range(9999)]; os.stat('%s.%%d' %% os.getpid())" % page_of(0)[:-2]
    process = start([sys.executable, "-c", script], options="share=1", mode=None)
    expect("the status", process.wait(), 0)
    expect("the page after exit", os.path.exists(page_of(process.pid)), False)
    end(process)


@case("share=1: without it, one line that names the ways out")
def share_missing():
    process = start([PEEKED])
    hello(process)
    refused("share=1", "stat", process.pid, before=forbid_reading)
    refused("forbids to read its memory", "where", process.pid, "1000", before=forbid_reading)
    for command in "stat", "rss":
        refused("/dev/shm/vmalloc.%d: No such file: VMALLOC_OPTIONS=share=1 was not set" % process.pid, command, "--shared",
                process.pid)
    end(process)


@case("share=1: children have pages of their own; stale pages are told and swept")
def share_stale():
    if not os.access("/dev/shm", os.W_OK):
        raise Skip("/dev/shm cannot be written")
    process = start([PEEKED], options="share=1", mode="exec")
    hello(process)
    until("executed sleep", lambda: open("/proc/%d/comm" % process.pid).read() == "sleep\n")
    until("published", lambda: subprocess.call([VMALLOC, "stat", "--shared", str(process.pid)], stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL) == 0)
    agree_pages = stat(process.pid, "--shared")  # sleep has made a page of its own in the place of the first
    expect("the command", agree_pages["command"], "sleep")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    expect("a page is left behind", os.path.exists(page_of(process.pid)), True)
    refused("stale", "stat", "--shared", process.pid)
    expect("the sweeper", start(["true"], options="share=1", mode=None).wait(), 0)
    expect("the page after the sweep", os.path.exists(page_of(process.pid)), False)
    script = "import os, sys\nif os.fork() == 0:\n x = [bytes(500) for i in range(9999)]\n" \
             " print(os.getpid(), flush=True)\nsys.stdin.read()\n"
    parent = start([sys.executable, "-c", script], options="share=1", mode=None)
    child = int(parent.stdout.readline())
    for pid in (parent.pid, child):
        expect("the pid", stat(pid, "--shared")["pid"], pid)
    end(parent)
    until("ended", lambda: not os.path.exists("/proc/%d" % child) or open("/proc/%d/stat" % child).read().split()[2] == "Z")


@case("share=1: other files of that name stay as they are")
def share_clobber():
    if not os.access("/dev/shm", os.W_OK):
        raise Skip("/dev/shm cannot be written")
    precious = os.path.join(WORK, "precious")
    with open(precious, "w") as file:
        file.write("precious")
    script = 'ln -s %s /dev/shm/vmalloc.$$; exec env LD_PRELOAD=%s VMALLOC_OPTIONS=share=1 true' % (precious, LIBRARY)
    done = subprocess.Popen(["sh", "-c", script], stderr=subprocess.PIPE)
    err = done.communicate()[1].decode()
    link = page_of(done.pid)
    is_link = os.path.islink(link)
    os.unlink(link)
    expect("the link is still there", is_link, True)
    expect("what it leads to", open(precious).read(), "precious")
    if done.returncode != 0 or err.count("share: cannot make %s" % link) != 1:
        raise Failure("status %d: %s" % (done.returncode, err))


# ---- What is wrong -------------------------------------------------------------------------------------------------

@case("wrong: no process, not ours, no core, not allowed")
def wrong():
    for command in (["stat"], ["where"]):
        more = [] if command == ["stat"] else ["1000"]
        gone = subprocess.Popen(["true"])
        gone.wait()
        refused("no such process", *command, gone.pid, *more)
        refused("no such process", *command, "999999999", *more)
        refused("no such process", *command, "0", *more)
        refused("no such process", *command, "99999999999999999999", *more)
        other = subprocess.Popen(["sleep", "60"], preexec_fn=readable)
        until("started", lambda: open("/proc/%d/comm" % other.pid).read() == "sleep\n")
        refused("does not run with libvmalloc", *command, other.pid, *more)
        if os.geteuid() == 0:
            refused("not allowed", *command, other.pid, *more, before=lambda: os.setresuid(65534, 65534, 65534))
        other.kill()
        zombie = subprocess.Popen(["true"])
        until("a zombie", lambda: open("/proc/%d/stat" % zombie.pid).read().split()[2] == "Z")
        refused("zombie", *command, zombie.pid, *more)
        zombie.wait()
        other.wait()
        refused("not a core file", *command, "/etc/passwd", *more)
        refused("not a core file", *command, VMALLOC, *more)
        refused("No such file", *command, os.path.join(WORK, "nothing"), *more)
        refused("neither", *command, WORK, *more)
        os.mkfifo(os.path.join(WORK, "fifo" + command[0]))
        refused("neither", *command, os.path.join(WORK, "fifo" + command[0]), *more)


@case("wrong: a process of ours that may not be looked at")
def not_dumpable():
    if os.geteuid() != 0:
        raise Skip("not root")
    script = "import os, sys; os.setresuid(65534, 65534, 65534); print('ready', flush=True); sys.stdin.read()"
    process = start([sys.executable, "-c", script], mode=None)
    process.stdout.readline()
    for command in ("stat", "where", "rss", "map", "tlb"):
        more = ["1000"] if command == "where" else []
        refused("ours though it is: it is not dumpable", command, process.pid, *more,
                before=lambda: os.setresuid(65534, 65534, 65534))
    end(process)


@case("wrong: a process that executes others and ends meanwhile")
def executing():
    script = os.path.join(WORK, "again")
    with open(script, "w") as file:
        file.write('[ "$1" = 40 ] || exec sh "$0" $(($1 + 1))\n')
    known = "does not run with libvmalloc|the process has ended|it is a zombie"
    for command in ("stat", "where", "rss", "map", "tlb"):
        process = start(["sh", script, "1"], mode=None)
        while process.poll() is None:
            done = subprocess.run([VMALLOC, command, str(process.pid), *(["1000"] if command == "where" else [])],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
            if done.returncode and not re.fullmatch(r"vmalloc %s: %d: [^\n]*(%s)[^\n]*\n" % (command, process.pid, known),
                                                    done.stderr.decode()):
                raise Failure("status %d: %r" % (done.returncode, done.stderr))
        end(process)


@case("wrong: a process whose end takes its time")
def ending():
    # the first process of a pid namespace waits at its end, its memory gone, for all others there to be reaped
    helper = start([sys.executable, "-c", """if True:
        import ctypes, os, signal, sys
        if ctypes.CDLL(None).unshare(0x20000000): # CLONE_NEWPID
            print(0, flush=True)
            sys.exit()
        children = []
        for _ in range(2):
            children.append(os.fork())
            if not children[-1]:
                signal.pause()
        os.kill(children[0], signal.SIGKILL)
        print(children[0], flush=True)
        sys.stdin.read()
        os.waitpid(children[1], 0)
        os.waitpid(children[0], 0)"""], mode=None)
    pid = int(helper.stdout.readline())
    if not pid:
        end(helper)
        raise Skip("may not make a pid namespace")
    until("without memory", lambda: not open("/proc/%d/maps" % pid).read())
    state = open("/proc/%d/stat" % pid).read().rsplit(")")[1].split()[0]
    for command in ("stat", "rss", "map", "tlb"):
        refused(" ended", command, pid)
    helper.stdin.close()
    if helper.wait(LIMIT) != 0 or state == "Z":
        raise Failure("the process was no more when it was looked at")
    helper.stdout.close()
    RUNNING.remove(helper)


@case("wrong: usage")
def usage():
    for arguments in (["stat"], ["stat", "--nonsense", "1"], ["where", "--nonsense", "1", "1"], ["where", "1"],
                      ["where", "1", "xyz"], ["where", "1", "-5"], ["where", "1", "10000000000000000"]):
        out, err = tool(*arguments, status=2)
        if out or not re.fullmatch(r"vmalloc (stat|where): [^\n]*\nTry: vmalloc \1 --help\n", err):
            raise Failure("%s: %r" % (arguments, err))
        if "--nonsense" in arguments and "'--nonsense' is no option" not in err:
            raise Failure("which option is wrong: %r" % err)
    for command in ("stat", "where"):
        if "usage: vmalloc %s" % command not in tool(command, "--help")[0]:
            raise Failure("no help of %s" % command)


# ---- All of it -----------------------------------------------------------------------------------------------------

def main():
    global PEEKED
    failures = 0
    try:
        PEEKED = build("peeked")
        for name, function in CASES:
            try:
                function()
                print("PASS", name)
            except Skip as reason:
                print("SKIP %s: %s" % (name, reason))
            except (Failure, subprocess.TimeoutExpired, KeyError, ValueError, OSError, TypeError) as reason:
                print("FAIL %s: %s: %s" % (name, type(reason).__name__, reason))
                failures += 1
            for process in list(RUNNING):
                end(process)
            sys.stdout.flush()
    finally:
        for process in list(RUNNING):
            end(process)
        shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(failures != 0)


main()
