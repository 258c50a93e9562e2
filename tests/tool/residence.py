# Tests of vmalloc rss, vmalloc map and vmalloc tlb PID: on real programs, and on one whose heap is known (resident.c), at
# several moments of their life, every byte of RSS is accounted for, and the parts are what the program did.
# Run by tests/tool/run. Usage: residence.py ROOT    (environment: SEED; VMALLOC and VMALLOC_LIB: the command and the library)
import fcntl
import json
import os
import pty
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
import manual  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(sys.argv[1])
VMALLOC = os.environ.get("VMALLOC", os.path.join(ROOT, "build/vmalloc"))
LIBRARY = os.environ.get("VMALLOC_LIB", os.path.join(ROOT, "build/.libs/libvmalloc.so"))
WORK = tempfile.mkdtemp()
SEED = int(os.environ.get("SEED", random.randrange(1, 1 << 32)))
LIMIT = 240
MIB = 1 << 20
BLOCK = 2 * MIB
LIVE = "live_small", "live_large"
HEAP = LIVE + ("slack", "slab_free", "frames_kept", "extents_kept", "lazily_freed", "huge_unused", "metadata")


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def expect(what, got, wanted):
    if got != wanted:
        raise Failure("%s is %.1000r, not %.1000r" % (what, got, wanted))


def expect_between(what, got, low, high):
    if not low <= got <= high:
        raise Failure("%s is %r, not between %r and %r" % (what, got, low, high))


def call(*arguments, **more):
    return subprocess.run([VMALLOC, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT, text=True, **more)


def asked(*arguments):
    done = call(*arguments, "--json")
    expect("status and stderr of %s" % (arguments,), (done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def smaps_rss(pid):
    with open("/proc/%d/smaps" % pid) as file:
        return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("Rss:"))


def part(account, *keys):
    return sum(account["parts"][key] for key in keys)


def check_rss(pid, moment):
    """The account of a process that does nothing now: complete, and of the RSS that smaps says."""
    account = asked("rss", pid)
    expect("%s: parts and residual" % moment, sum(account["parts"].values()) + account["residual"], account["rss"])
    rss = smaps_rss(pid)
    expect_between("%s: the residual of %d" % (moment, rss), account["residual"], -rss / 100, rss / 100)
    # the program may still touch a few pages on its way into the read() for the next line
    expect_between("%s: RSS" % moment, account["rss"], rss * 0.99 - 65536, rss * 1.01)
    others = {}
    for mapping in account["mappings"]:
        others[mapping["part"]] = others.get(mapping["part"], 0) + mapping["bytes"]
    for key, value in account["parts"].items():
        if key not in HEAP:
            expect("%s: %s by mapping" % (moment, key), others.get(key, 0), value)
    expect("%s: moved" % moment, account["moved"], False)
    expect_between("%s: live and resident" % moment, part(account, *LIVE), 1, account["live_bytes"])
    return account


class Program:
    """A program under the library that answers a line on its standard input with one on its standard output."""

    def __init__(self, command, **more):
        environment = dict(os.environ, LD_PRELOAD=LIBRARY, **more)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=WORK, env=environment,
                                        text=True, bufsize=1)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the program ended")
        return line.split()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()


def resident(threads=4, **more):
    """resident.c, built once."""
    path = os.path.join(WORK, "resident")
    if not os.path.exists(path):
        subprocess.run(["cc", "-O2", "-pthread", os.path.join(HERE, "resident.c"), "-o", path], check=True)
    program = Program([path, str(threads), str(SEED)], **more)
    program.answer()
    return program


def need(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip(name + " is not installed")


# ---- Real programs

def test_python3():
    need("/usr/bin/python3")
    loop = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin:\n exec(line)\n print('done', flush=True)"
    with Program(["/usr/bin/python3", "-c", loop]) as program:
        program.answer()
        start = check_rss(program.pid, "start")
        program.say("a = [bytes(i % 3000) for i in range(20000)]; b = [bytearray(300000) for i in range(20)]")
        full = check_rss(program.pid, "full")
        expect_between("live after 36 MB", part(full, *LIVE) - part(start, *LIVE), 34e6, 50e6)
        program.say("del a[::2], b[::2]")
        half = check_rss(program.pid, "half")
        expect_between("live after half is gone", part(half, *LIVE) - part(start, *LIVE), 17e6, 25e6)
        expect("mapping of the library", [m["path"] for m in half["mappings"] if m["part"] == "library"][0],
               os.path.realpath(LIBRARY))


def test_sqlite3():
    need("sqlite3")
    with Program(["sqlite3", ":memory:"]) as program:
        program.say("select 'ready';")
        start = check_rss(program.pid, "start")
        program.say("create table t(a, b); insert into t with recursive n(i) as (select 1 union all select i + 1 from n"
                    " where i < 50000) select i, hex(randomblob(100)) from n; select 'full';")
        full = check_rss(program.pid, "full")
        expect_between("live after 50,000 rows of 200 bytes", part(full, *LIVE) - part(start, *LIVE), 10e6, 20e6)
        program.say("delete from t; vacuum; select 'empty';")
        empty = check_rss(program.pid, "empty")
        expect_between("live when they are gone", part(empty, *LIVE) - part(start, *LIVE), -1e6, 4e6)


class Redis(Program):
    def __init__(self):
        self.path = os.path.join(WORK, "redis.sock")
        super().__init__(["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--daemonize", "no",
                          "--rdb-key-save-delay", "100", "--logfile", "/dev/null"])
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(self.path)
                self.stream = self.socket.makefile("rwb")
                return
            except OSError:
                self.socket.close()
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise Failure("redis-server does not start")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()
        super().__exit__()

    def say(self, *words):
        words = [str(word).encode() for word in words]
        self.stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        self.stream.flush()
        line = self.stream.readline()
        if line.startswith(b"$") and int(line[1:]) >= 0:
            line = self.stream.read(int(line[1:]) + 2)
        if line.startswith(b"-"):
            raise Failure("redis-server says %r" % line)
        return line

    def each_key(self, statement):
        self.say("eval", "for i = 0, 49999 do %s end" % statement, 0)


def test_redis_and_its_background_save():
    need("redis-server")
    with Redis() as redis:
        start = check_rss(redis.pid, "start")
        redis.each_key("redis.call('set', i, string.rep('x', 500))")
        full = check_rss(redis.pid, "full")
        expect_between("live after 50,000 values of 500 bytes", part(full, *LIVE) - part(start, *LIVE), 25e6, 40e6)
        expect_between("what a fork would share", full["fork"]["bytes"], part(full, *HEAP), full["rss"])
        expect("children before a fork", full["children"], [])
        redis.say("bgsave")
        before = asked("rss", redis.pid)["children"]
        redis.each_key("redis.call('setrange', i, 0, 'hello')")
        after = asked("rss", redis.pid)["children"]
        expect("children during a save", (len(before), len(after)), (1, 1))
        expect("the child", before[0]["pid"], after[0]["pid"])
        expect_between("what it shares at first", before[0]["shared"], full["fork"]["bytes"] * 0.8, full["fork"]["bytes"] * 1.05)
        expect_between("copied when every value was written", after[0]["copied_heap"] - before[0]["copied_heap"], 25e6, 40e6)
        expect_between("what it shares then", after[0]["shared"] + after[0]["copied"], before[0]["shared"] * 0.9,
                       before[0]["shared"] * 1.1 + before[0]["copied"])
        text = call("rss", redis.pid).stdout
        if "Child %d" % before[0]["pid"] not in text:
            raise Failure("no word of the child in %r" % text)


def test_threads():
    """Blocks of four threads: live ones are within their rounding up, 1/8 at most and 16 bytes or a page."""
    with resident() as program:
        check_rss(program.pid, "start")
        for command, low, high in (("fill 64", 1.0, 1.1), ("drop 10", 1.0, 1.15), ("fill 32", 1.0, 1.1), ("drop 2", 1.0, 1.12)):
            live = int(program.say(command)[0])
            account = check_rss(program.pid, command)
            expect_between("%s: live bytes over those asked for, SEED=%d" % (command, SEED), account["live_bytes"] / live,
                           low, high)
            expect_between("%s: live and resident, SEED=%d" % (command, SEED), part(account, *LIVE) / live, low - 0.03, high)
        live = int(program.say("grow 32")[0])
        account = check_rss(program.pid, "grow")
        expect_between("half-written large blocks", account["live_bytes"] - part(account, *LIVE), 15 * MIB, 18 * MIB)


def test_linked_statically():
    path = os.path.join(WORK, "static")
    archive = os.path.join(os.path.dirname(LIBRARY), "libvmalloc.a")
    done = subprocess.run(["cc", "-O2", "-static", "-pthread", os.path.join(HERE, "resident.c"), archive, "-o", path],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Skip("no static link: " + done.stdout.strip())
    with Program([path, "2", str(SEED)]) as program:
        program.answer()
        live = int(program.say("fill 16")[0])
        account = check_rss(program.pid, "full")
        expect_between("live bytes over those asked for, SEED=%d" % SEED, account["live_bytes"] / live, 1, 1.15)
        expect("the library's own file and other libraries", part(account, "library", "libraries"), 0)


def test_a_process_that_ends():
    """At any moment of a look: an account, or one line and status 1."""
    rng = random.Random(SEED)
    statuses = set()
    for _ in range(30):
        with Program(["sh", "-c", "exec sleep %.3f" % rng.uniform(0.005, 0.04)]) as program:
            time.sleep(rng.uniform(0, 0.03))
            done = call(rng.choice(["rss", "map", "tlb"]), program.pid)
            statuses.add(done.returncode)
            if (done.returncode, done.stderr.count("\n"), done.stdout == "") not in ((0, 0, False), (1, 1, True)):
                raise Failure("status %d, stdout %r, stderr %r, SEED=%d" % (done.returncode, done.stdout, done.stderr, SEED))
    if 1 not in statuses:
        raise Failure("no process ended: SEED=%d" % SEED)


def test_a_process_that_moves():
    with resident() as program:
        program.say("fill 16")
        program.say("churn")
        for _ in range(5):
            account = asked("rss", program.pid)
            expect("parts and residual", sum(account["parts"].values()) + account["residual"], account["rss"])
            if not account["moved"]:
                expect_between("the residual", account["residual"], -account["rss"] / 100, account["rss"] / 100)
            asked("map", program.pid), asked("tlb", program.pid)


def test_a_fork_copies_what_is_written():
    with resident(1) as program:
        program.say("fill 64")
        child = int(program.say("fork")[1])
        try:
            before = asked("rss", program.pid)["children"]
            expect("children", [c["pid"] for c in before], [child])
            of_child = check_rss(child, "the child")
            expect("live in the child", of_child["live_bytes"], check_rss(program.pid, "the parent")["live_bytes"])
            program.say("write 32")
            after = asked("rss", program.pid)["children"][0]
            expect_between("copied", after["copied_heap"] - before[0]["copied_heap"], 31 * MIB, 42 * MIB)
            expect_between("the child's own", after["private"] - before[0]["private"], 31 * MIB, 42 * MIB)
            expect_between("no longer shared", before[0]["shared"] - after["shared"], 31 * MIB, 42 * MIB)
        finally:
            os.kill(child, 9)


# ---- Huge pages, the map, the reach

def huge_bytes(pid):
    with open("/proc/%d/smaps" % pid) as file:
        return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("AnonHugePages:"))


def test_huge_pages():
    with resident(1) as program:
        program.say("fill 64")
        program.say("drop 10")
        before = check_rss(program.pid, "before")
        program.say("huge 8")
        huge = huge_bytes(program.pid)
        if huge == 0:
            raise Skip("the kernel gives no huge pages")
        account = check_rss(program.pid, "huge")
        if not account["huge_known"]:
            raise Skip("this kernel does not tell huge pages by address")
        expect("huge pages", account["huge"], huge)
        expect("live bytes", account["live_bytes"], before["live_bytes"])
        expect_between("what they bring along", account["parts"]["huge_unused"], 1, huge)
        expect_between("RSS grows by what they bring along", part(account, *HEAP) - part(before, *HEAP), 0, huge)
        found = asked("map", program.pid)
        expect("huge blocks of the map", (found["sum"]["huge_blocks"], found["sum"]["huge"]), (huge // BLOCK, huge))
        for block in found["blocks"]:
            if block["huge"]:
                expect("bytes of a huge block", (block["huge"], block["resident"]), (BLOCK, BLOCK))
        if not re.search("^ *[0-9a-f]+  .*h", call("map", program.pid).stdout, re.M):
            raise Failure("no huge block in the text")


def check_map(pid, account):
    found = asked("map", pid)
    total = {key: sum(block[key] for block in found["blocks"]) for key in ("live", "free", "kept", "returned", "resident")}
    for key, value in total.items():
        expect("sum of %s" % key, value, found["sum"][key])
    expect("live", total["live"], part(account, *LIVE))
    expect("free", total["free"], part(account, "slab_free", "slack"))
    expect("kept", total["kept"], part(account, "frames_kept", "extents_kept", "huge_unused", "lazily_freed"))
    expect("returned", total["returned"], account["not_resident"])
    for block in found["blocks"]:
        expect("resident in a block", sum(block[key] for key in ("live", "free", "kept", "metadata", "other")), block["resident"])
        expect_between("a block", block["resident"] + block["returned"], 1, BLOCK)
        expect("an address modulo 2 MiB", int(block["address"], 16) % BLOCK, 0)
    expect("verdicts", sum(found["sum"][key] for key in ("keep", "gain", "sparse", "empty")), len(found["blocks"]))
    return found


def glyphs(text):
    return "".join(re.findall("^ *[0-9a-f]+  (.*)$", text, re.M)).replace(" ", "")


def test_map():
    with resident(1) as program:
        program.say("fill 192")
        dense = check_map(program.pid, check_rss(program.pid, "full"))
        expect_between("blocks that would gain when the heap is full", dense["sum"]["gain"], 72, len(dense["blocks"]))
        added = sum(BLOCK - block["resident"] for block in dense["blocks"] if block["verdict"] == "gain")
        expect("what huge pages would add there", dense["sum"]["gain_adds"], added)
        program.say("drop 20")
        sparse = check_map(program.pid, check_rss(program.pid, "dropped"))
        expect_between("sparse blocks when one in 20 is left", sparse["sum"]["sparse"] + sparse["sum"]["empty"], 72,
                       len(sparse["blocks"]))
        for block in dense["blocks"] + sparse["blocks"]:
            if block["verdict"] == "gain":
                expect_between("resident in what would gain", block["resident"], BLOCK * 7 // 8, BLOCK)
                expect_between("live in what would gain", block["live"], BLOCK * 6 // 8, BLOCK)
            elif block["verdict"] == "sparse":
                expect_between("live in what is sparse", block["live"], 0, BLOCK * 2 // 8 - 1)
        text = call("map", "--width", 16, program.pid).stdout
        expect("a character a block", len(glyphs(text)), len(sparse["blocks"]))
        expect("colours without a terminal", "\033" in text, False)
        rows = re.findall("^ *([0-9a-f]+)  ", text, re.M)
        expect("rows that begin at 32 MiB", [row for row in rows if int(row, 16) % (16 * BLOCK)], [])


def test_names_of_any_bytes():
    """A program and its files may be called anything: JSON and SVG stay what they are, terminals get no controls."""
    need("/usr/bin/python3")
    folder = os.path.join(WORK.encode(), b'n\xff\x1b[31m"<&\\\xc3\xa9')
    os.mkdir(folder)
    mapped = os.path.join(folder, b"file")
    with open(mapped, "wb") as file:
        file.write(bytes(65536))
    script = ("import ctypes, mmap, sys\nctypes.CDLL(None).prctl(15, b'\\xff<&\"\\x1b[31m]]>\\xc3', 0, 0, 0)\n"
              "file = open(sys.argv[1], 'rb')\nm = mmap.mmap(file.fileno(), 65536, mmap.MAP_PRIVATE, mmap.PROT_READ)\n"
              "x = m[:65536]\nprint('ready', flush=True)\nsys.stdin.read()\n")
    with Program(["/usr/bin/python3", "-c", script, mapped]) as program:
        program.answer()
        address = asked("map", program.pid)["blocks"][0]["address"]
        for arguments in ["stat"], ["rss"], ["map"], ["tlb"], ["where", address]:
            text = call(arguments[0], "-j", program.pid, *arguments[1:], errors="strict").stdout
            value = json.loads(text)
            expect("its name, %s" % arguments[0], value.get("command", value.get("program", '?<&"?[31m]]>?')),
                   '?<&"?[31m]]>?')
        paths = [m["path"] for m in asked("rss", program.pid)["mappings"]]
        expect("the file in JSON", [p for p in paths if p.endswith("/file")], [WORK + '/n\ufffd\x1b[31m"<&\\\u00e9/file'])
        for arguments in ["stat"], ["rss", "-m"], ["map"], ["tlb"], ["stat", "-p"]:
            text = call(*arguments, program.pid, errors="surrogateescape").stdout
            expect("controls on a terminal, %s" % arguments, re.findall("[^ -\ud8ff\udc80-\udcff\n]|\x7f", text), [])
        svg = os.path.join(WORK, "name.svg")
        call("map", "--svg", svg, program.pid)
        xml.etree.ElementTree.parse(svg)


def on_terminal(columns, *arguments, **environment):
    """What the command writes to a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen([VMALLOC, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=its,
                               env=dict(os.environ, **environment))
    os.close(its)
    output = b""
    try:
        while data := os.read(ours, 65536):
            output += data
    except OSError:  # the other side was closed
        pass
    os.close(ours)
    expect("status", process.wait(), 0)
    return output.decode()


def check_rows(lines, width):
    """Lines of blocks begin at multiples of so many, and hold no more."""
    rows = [line for line in lines if re.match(" *[0-9a-f]+000  ", line)]
    starts = [int(row.split()[0], 16) // BLOCK for row in rows]
    expect("lines that do not begin at a multiple of %d blocks" % width, [s for s in starts if s % width], [])
    expect_between("the longest of the lines of %d blocks" % width, max(map(len, rows)), 16 + min(width, 96) // 2, 16 + width)
    if width <= 64:
        expect("from line to line", min(b - a for a, b in zip(starts, starts[1:])), width)


def test_map_on_a_terminal():
    with resident(1) as program:
        program.say("fill 192")  # 96 blocks side by side
        for columns, width in ((20, 8), (40, 16), (79, 32), (80, 64), (200, 128), (0, 64)):
            output = on_terminal(columns, "map", program.pid)
            if "\033[" not in output:
                raise Failure("no colours in %r" % output)
            lines = re.sub("\033\\[[0-9]*m", "", output).split("\r\n")
            check_rows(lines, width)
        expect("colours with NO_COLOR", "\033" in on_terminal(80, "map", program.pid, NO_COLOR="1"), False)
        expect("colours with NO_COLOR empty", "\033" in on_terminal(80, "map", program.pid, NO_COLOR=""), True)
        check_rows(call("map", program.pid).stdout.splitlines(), 64)


def test_json_is_documented():
    """Every key stands in the section of the manual page that says so."""
    with resident(2, VMALLOC_OPTIONS="tlb=zen4,stats=1,vm=1") as program, resident(1) as plain:
        for command in "stat", "rss", "map", "tlb", "where":
            page = os.path.join(ROOT, "man/vmalloc-%s.1" % command)
            for process in program, plain:
                more = [asked("map", process.pid)["blocks"][0]["address"]] if command == "where" else []
                missing = manual.missing_keys(page, asked(command, process.pid, *more))
                expect("keys of vmalloc %s --json that its manual does not have" % command, missing, [])


def test_pictures():
    with resident() as program:
        program.say("fill 32")
        blocks = asked("map", program.pid)["blocks"]
        svg, html = os.path.join(WORK, "map.svg"), os.path.join(WORK, "map.html")
        done = call("map", "--svg", svg, "--html", html, program.pid)
        expect("status and stderr", (done.returncode, done.stderr), (0, ""))
        tree = xml.etree.ElementTree.parse(svg)
        titles = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}title")]
        expect("blocks that say something where the pointer hovers", len(titles), len(blocks))
        for block, title in zip(blocks, titles):
            if not title.startswith(block["address"] + " to ") or "live %d KiB" % (block["live"] // 1024) not in title:
                raise Failure("a title is %r for %r" % (title, block))
        with open(html) as file:
            page = file.read()
        expect("blocks in the page", page.count("<title>") - 1, len(blocks))
        expect("what the page loads", re.findall(r"(?:src|href|url)\s*[=(]", page), [])
        done = call("map", "--svg", WORK + "/missing/map.svg", program.pid)
        expect("status and stderr without a folder", (done.returncode, done.stderr),
               (1, "vmalloc map: %s/missing/map.svg: No such file or directory\n" % WORK))


def test_reach():
    with resident() as program:
        program.say("fill 64")
        program.say("drop 3")
        account = check_rss(program.pid, "now")
        reach = asked("tlb", "--preset", "zen4", program.pid)
        resident_bytes = part(account, *HEAP)
        expect("resident", reach["resident"], resident_bytes)
        expect("regions", sum(region["resident"] for region in reach["regions"].values()), resident_bytes)
        expect("classes", sum(c["resident"] for c in reach["classes"]), reach["regions"]["slabs"]["resident"])
        what_if = reach["what_if"]
        expect("4 KiB", (what_if["4k"]["entries"], what_if["4k"]["wasted"]), (resident_bytes // 4096, 0))
        for key, size in ("64k", 65536), ("2m", BLOCK):
            expect(key, what_if[key]["wasted"], what_if[key]["entries"] * size - resident_bytes)
        expect_between("64 KiB pages", what_if["64k"]["entries"], resident_bytes / 65536, resident_bytes / 4096)
        zen4 = reach["presets"][0]
        expect("zen4's levels", (zen4["4k"]["level1"], zen4["4k"]["level2"], zen4["2m"]["level2"]),
               (72 * 4096, 3072 * 4096, 3072 * BLOCK))
        expect("what they cover", (zen4["4k"]["level2_covers"], zen4["2m"]["level2_covers"]), (3072 * 4096, resident_bytes))
        if reach["huge"] == 0:
            expect("as it is", zen4["as_is"]["level2_covers"], zen4["4k"]["level2_covers"])
        expect_between("all presets", len(asked("tlb", "--preset", "all", program.pid)["presets"]), 8, 20)
        text = call("tlb", program.pid).stdout
        if "not misses" not in text or "missed" in text:
            raise Failure("the text is %r" % text)


# ---- What cannot be had

def test_without_pagemap():
    """As in a container that hides it; needs root, for a mount in a namespace of its own."""
    need("unshare")
    with resident() as program:
        program.say("fill 32")
        program.say("drop 2")
        exact = check_rss(program.pid, "with it")
        script = "mount --bind /dev/null /proc/%d/pagemap && exec %s rss %%s %d" % (program.pid, VMALLOC, program.pid)
        done = [subprocess.run(["unshare", "-m", "sh", "-c", script % option], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, timeout=LIMIT) for option in ("--json", "")]
        if done[0].returncode != 0 and not done[0].stdout:
            raise Skip("no mount in a namespace of its own: " + done[0].stderr.strip())
        account = json.loads(done[0].stdout)
        expect("pages read", account["pages_read"], False)
        expect("live bytes", account["live_bytes"], exact["live_bytes"])
        expect_between("the residual", account["residual"], -account["rss"] / 100, account["rss"] / 100)
        expect_between("live and resident", part(account, *LIVE), 0.9 * part(exact, *LIVE), 1.1 * part(exact, *LIVE))
        if "could not be read one by one" not in done[1].stdout:
            raise Failure("the text is %r" % done[1].stdout)


def test_what_the_program_publishes():
    """share=1: figures without addresses, for where the heap may not be read."""
    with resident(2, VMALLOC_OPTIONS="share=1") as program:
        program.say("fill 32")
        program.say("drop 2")
        deadline = time.monotonic() + LIMIT
        while True:  # it publishes now and then, in slow paths
            time.sleep(0.15)
            live = int(program.say("fill 2")[0])
            account = asked("rss", "--shared", program.pid)
            if 0.8 <= account["live_bytes"] / live <= 1.15 or time.monotonic() > deadline:
                break
        exact = check_rss(program.pid, "read")
        expect("sources", (exact["source"], account["source"]), ("process", "share"))
        expect_between("live bytes over those asked for, SEED=%d" % SEED, account["live_bytes"] / live, 0.8, 1.15)
        expect_between("other anonymous memory", account["parts"]["anonymous"], 0, exact["parts"]["anonymous"] + 8 * MIB)
        for key in "libraries", "program", "library", "files":  # a thread on its way to wait has no stack yet
            expect(key, account["parts"][key], exact["parts"][key])
        expect("parts and residual", sum(account["parts"].values()) + account["residual"], account["rss"])
        expect("what a fork would share", account["fork"]["bytes"], exact["fork"]["bytes"])
        if "proves nothing" not in call("rss", "--shared", program.pid).stdout:
            raise Failure("no word of what this is worth")
    with resident(2) as program:
        done = call("rss", "--shared", program.pid)
        expect("status, stdout and lines without share=1", (done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))


def test_bad_input():
    sleeper = subprocess.Popen(["sleep", "60"])
    gone = subprocess.Popen(["true"])
    gone.wait()
    try:
        for command in "rss", "map", "tlb":
            for pid in gone.pid, sleeper.pid, 2147483647, 99999999999999999999, 0:
                done = call(command, pid)
                expect("status and stdout of %s %s" % (command, pid), (done.returncode, done.stdout), (1, ""))
                if not re.fullmatch(r"vmalloc %s: [^\n]*%d[^\n]*\n" % (command, pid), done.stderr):
                    raise Failure("stderr of %s %s is %r" % (command, pid, done.stderr))
            for arguments in ([], [sleeper.pid, sleeper.pid], ["--nonsense", sleeper.pid], ["-5"]):
                done = call(command, *arguments)
                expect("status and stdout of %s %s" % (command, arguments), (done.returncode, done.stdout), (2, ""))
            done = call(command, "--help")
            expect("status and stderr of --help", (done.returncode, done.stderr), (0, ""))
        for command in "rss", "map":
            done = call(command, "/etc/passwd")
            expect("status and stdout of %s of a file" % command, (done.returncode, done.stdout), (2, ""))
            if "core file" not in done.stderr:
                raise Failure("stderr of %s of a file is %r" % (command, done.stderr))
        for arguments in (["map", "--width", "0"], ["map", "--width", "x"], ["tlb", "--preset", "none"], ["rss", "-5"]):
            done = call(*arguments, sleeper.pid)
            expect("status and stdout of %s" % arguments, (done.returncode, done.stdout), (2, ""))
    finally:
        sleeper.kill()
        sleeper.wait()


def test_somebody_elses_process():
    need("setpriv")
    if os.getuid() != 0:
        raise Skip("not root")
    with resident(1) as program:
        reader = os.path.join(tempfile.mkdtemp(dir="/tmp"), "vmalloc")
        try:
            os.chmod(os.path.dirname(reader), 0o755)
            shutil.copy(VMALLOC, reader)
            for command in "rss", "map", "tlb":
                words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", reader, command, str(program.pid)]
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
                expect("status, stdout and lines", (done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
                if str(program.pid) not in done.stderr:
                    raise Failure("stderr is %r" % done.stderr)
        finally:
            shutil.rmtree(os.path.dirname(reader))


def main():
    failures = 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        title = "residence: " + name[len("test_"):].replace("_", " ")
        try:
            test()
            print("PASS " + title, flush=True)
        except Skip as why:
            print("SKIP %s: %s" % (title, why), flush=True)
        except (Failure, subprocess.SubprocessError, OSError, KeyError, ValueError) as error:
            print("FAIL %s: %s: %s" % (title, type(error).__name__, str(error).replace("\n", "\\n")), flush=True)
            failures += 1
    shutil.rmtree(WORK)
    return 1 if failures else 0


sys.exit(main())
