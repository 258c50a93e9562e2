# Tests that scripts/run passes a program through untouched: arguments, environment, descriptors, standard streams,
# signals, job control and the way it ends; and that the summary says what it should.
# Run by tests/tool/run. Usage: passing.py ROOT    (environment: SEED for the random bytes)
import json
import os
import pty
import random
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(sys.argv[1])
RUN = os.path.join(ROOT, "scripts/run")
LAUNCH = os.path.join(ROOT, "build/vmalloc-launch")
LIBRARY = os.path.join(ROOT, "build/.libs/libvmalloc.so")
WORK = tempfile.mkdtemp()
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
LIMIT = 240
WAYS = {"run": [RUN], "run -q": [RUN, "-q"], "run --": [RUN, "--"]}
SUMMARY = re.compile(
    rb"(libvmalloc: calls      [0-9,]+ \(malloc [0-9,]+, free (?:about )?[0-9,]+, realloc [0-9,]+\)\n"
    rb"libvmalloc: peak live  [0-9.]+ [KM]iB\n(libvmalloc: processes  [0-9]+ .*\n)?"
    rb"|libvmalloc: calls      allocation counts not available \(.*\)\n)"
    rb"libvmalloc: peak RSS   [0-9.]+ [KM]iB\n"
    rb"libvmalloc: faults     [0-9,]+ minor, [0-9,]+ major\n"
    rb"libvmalloc: time       [0-9.]+ s \(user [0-9.]+ s, system [0-9.]+ s\)\n\Z")

# A program for the signal tests: says "ready", then names each of the signals that it gets; half a second after the
# last one it ends with status 9.
LISTENER = """
import signal, sys
catch = {int(number) for number in sys.argv[1:]}
signal.pthread_sigmask(signal.SIG_BLOCK, catch)
print("ready", flush=True)
info = signal.sigwaitinfo(catch)
while info:
    print(info.si_signo, flush=True)
    info = signal.sigtimedwait(catch, 0.5)
sys.exit(9)
"""


class Failure(Exception):
    pass


def expect(what, got, wanted):
    if got != wanted:
        raise Failure("%s is %.2000r, not %.2000r" % (what, got, wanted))


def call(command, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, **more)


def split_summary(way, stderr):
    """The program's own part of stderr; fails if the summary is missing or malformed, or is there under -q."""
    found = SUMMARY.search(stderr)
    if way == "run -q":
        expect("a summary under -q", found, None)
        return stderr
    if not found:
        raise Failure("no proper summary at the end of stderr: %r" % stderr)
    return stderr[:found.start()]


def write_file(name, text, mode=0o644):
    path = os.path.join(WORK, name)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


# ---- How it ends

def test_exit_status(way, prefix):
    for status in 0, 3, 125, 255:
        done = call(prefix + ["sh", "-c", "exit %d" % status])
        expect("the status of exit %d" % status, done.returncode, status)
        expect("stdout", done.stdout, b"")
        expect("the program's stderr", split_summary(way, done.stderr), b"")


def test_programs_that_cannot_start(way, prefix):
    plain = write_file("plain", "no program\n")
    orphan = write_file("orphan", "#!/nonexistent/interpreter\n", 0o755)
    script = write_file("script", "echo a script without a first line; exit 4\n", 0o755)
    for program, status in (("no-such-program-anywhere", 127), (WORK + "/missing", 127), ("", 127),
                            (orphan, 127), (plain, 126), (WORK, 126), (plain + "/below", 126)):
        done = call(prefix + [program, "argument"])
        expect("the status for %r" % program, done.returncode, status)
        expect("stdout", done.stdout, b"")
        if not done.stderr or b"peak RSS" in done.stderr:
            raise Failure("stderr for %r is %r" % (program, done.stderr))
    done = call(prefix + [script])
    expect("status and stdout of a script without #!", (done.returncode, done.stdout),
           (4, b"a script without a first line\n"))


def test_death_by_signal(way, prefix):
    for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGINT, signal.SIGHUP,
                   signal.SIGPIPE, signal.SIGRTMIN + 2):
        core = resource.getrlimit(resource.RLIMIT_CORE)
        done = call(prefix + ["sh", "-c", "ulimit -c 0; kill -%d $$" % number], cwd=WORK)
        expect("the way of dying by %s" % number, done.returncode, -number)
        split_summary(way, done.stderr)
        expect("the core limit", resource.getrlimit(resource.RLIMIT_CORE), core)


# ---- What it gets

def test_arguments(way, prefix):
    arguments = ["a b", "", " ", "line\nline\n", "*", "$HOME", "-q", "--", "--help", "'\"\\", "\u00e9\u4e16", ""]
    done = call(prefix + ["/usr/bin/printf", "%s\\0"] + arguments)
    expect("the arguments", done.stdout.decode().split("\0")[:-1], arguments)


def test_streams(way, prefix):
    data = random.Random(SEED).randbytes(3 << 20)
    done = call(prefix + ["sh", "-c", "tee /dev/fd/2; echo end >&2"], stdin=None, input=data)
    if done.stdout != data:
        raise Failure("stdout differs from stdin, SEED=%d" % SEED)
    if split_summary(way, done.stderr) != data + b"end\n":
        raise Failure("stderr is not the program's, SEED=%d" % SEED)


def test_environment(way, prefix):
    def environment(command, **more):
        wanted = {"PATH": os.environ["PATH"], "LINES": "a\nb=c", "EMPTY": "", **more}
        done = call(command + ["env", "-0"], env=wanted)
        found = dict(item.split("=", 1) for item in done.stdout.decode().split("\0")[:-1])
        for name in "_", "PWD", "OLDPWD", "SHLVL":  # bash's own
            found.pop(name, None)
        return found, wanted

    for more in {}, {"LD_PRELOAD": "libm.so.6 libdl.so.2", "VMALLOC_OPTIONS": "brk=1"}:
        found, wanted = environment(prefix, **more)
        before = more.get("LD_PRELOAD")
        expect("LD_PRELOAD", found.pop("LD_PRELOAD", None), LIBRARY + (":" + before if before else ""))
        options = found.pop("VMALLOC_OPTIONS", "")
        before = more.get("VMALLOC_OPTIONS")
        if way == "run -q":
            expect("VMALLOC_OPTIONS", options, before or "")
        elif not re.fullmatch((before + "," if before else "") + r"stats=/[^,]+", options):
            raise Failure("VMALLOC_OPTIONS is %r" % options)
        for name in more:
            wanted.pop(name)
        expect("the rest of the environment", found, wanted)


def test_process_state(way, prefix):
    """Directory, umask, limits and signal state are what they would be without us."""
    def set_state():
        os.chdir(WORK)
        os.umask(0o27)
        resource.setrlimit(resource.RLIMIT_NOFILE, (77, 99))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1, signal.SIGTERM})

    script = "import os\nprint(os.getcwd(), open('/proc/self/limits').read())\n" \
        "print([l for l in open('/proc/self/status') if l[:6] in ('SigBlk', 'SigIgn', 'SigCgt', 'Umask:')])"
    command = ["/usr/bin/python3", "-c", script]
    direct = call(command, preexec_fn=set_state, restore_signals=False)
    under = call(prefix + command, preexec_fn=set_state, restore_signals=False)
    expect("the state", under.stdout.decode(), direct.stdout.decode())
    expect("the status", (under.returncode, direct.returncode), (0, 0))


def test_ignored_sigchld(way, prefix):
    """Waiting for the program must work although children of a process that ignores SIGCHLD vanish."""
    done = call(prefix + ["sh", "-c", "exit 7"], preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    expect("the status", done.returncode, 7)


def test_descriptors(way, prefix):
    """The program has the descriptors that we have, also when standard ones are closed."""
    script = "import os, sys\n" \
        "open(sys.argv[1], 'w').write(repr([(n, os.readlink('/proc/self/fd/%d' % n)) for n in range(40)" \
        " if os.path.exists('/proc/self/fd/%d' % n) and not os.readlink('/proc/self/fd/%d' % n).endswith('.list')]))"
    null = os.open("/dev/null", os.O_RDWR)
    for closed in (), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2):
        def arrange():
            for fd in range(3):
                os.dup2(null, fd)
            os.dup2(null, 17)
            for fd in closed:
                os.close(fd)
        lists = []
        for name, before in ("direct.list", []), ("under.list", prefix):
            path = os.path.join(WORK, name)
            subprocess.run(before + ["/usr/bin/python3", "-c", script, path], preexec_fn=arrange, close_fds=False,
                           timeout=LIMIT, check=True)
            with open(path) as file:
                lists.append(file.read())
        expect("with %s closed: the list of descriptors" % (closed,), lists[1], lists[0])
    os.close(null)


# ---- Signals and job control

def start_listener(prefix, catch, **more):
    command = prefix + ["/usr/bin/python3", "-c", LISTENER] + [str(int(number)) for number in catch]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               **more)
    expect("the first line", process.stdout.readline(), b"ready\n")
    return process


def finish_listener(way, process):
    stdout, stderr = process.communicate(timeout=LIMIT)
    expect("the status", process.returncode, 9)
    split_summary(way, stderr)
    return [int(line) for line in stdout.split()]


def test_signals_are_forwarded(way, prefix):
    numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
               signal.SIGTERM, signal.SIGWINCH, signal.SIGURG, signal.SIGRTMIN + 3]
    running = []
    for number in numbers:
        process = start_listener(prefix, [number])
        process.send_signal(number)
        running.append((number, process))
    for number, process in running:
        expect("what came of signal %d" % number, finish_listener(way, process), [number])


def test_signal_that_kills(way, prefix):
    for number in signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1:
        process = start_listener(prefix, [signal.SIGUSR2])
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=LIMIT)
        expect("the way of dying", process.returncode, -number)
        split_summary(way, stderr)


def test_kill_takes_the_program_along(way, prefix):
    """SIGKILL cannot be forwarded; the program's end of the pipe closes only when it is gone as well."""
    process = start_listener(prefix, [signal.SIGUSR2])
    process.kill()
    stdout, _ = process.communicate(timeout=LIMIT)
    expect("what it still said", stdout, b"")
    expect("the way of dying", process.returncode, -signal.SIGKILL)


def program_of(process, way):
    """The pid of the program that `process` runs."""
    if way == "run -q":
        return process.pid
    with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
        return int(file.read().split()[0])


def wait_for_stop(process, number):
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
        if pid == process.pid:
            expect("stopped", os.WIFSTOPPED(status), True)
            expect("the stopping signal", os.WSTOPSIG(status), number)
            return
        time.sleep(0.01)
    raise Failure("it did not stop")


def test_stop_and_continue(way, prefix):
    for number, to_program in (signal.SIGSTOP, True), (signal.SIGTSTP, True), (signal.SIGTSTP, False):
        process = start_listener(prefix, [signal.SIGUSR1, signal.SIGCONT], preexec_fn=os.setpgrp)
        program = program_of(process, way)
        os.kill(program if to_program else process.pid, number)
        wait_for_stop(process, number)
        os.kill(process.pid, signal.SIGCONT)
        expect("what it got", finish_listener(way, process), [int(signal.SIGCONT)])

    # A shell continues the whole group; the program must see that once.
    process = start_listener(prefix, [signal.SIGUSR1, signal.SIGCONT], preexec_fn=os.setpgrp)
    os.killpg(process.pid, signal.SIGSTOP)
    wait_for_stop(process, signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGCONT)
    expect("what it got", finish_listener(way, process), [int(signal.SIGCONT)])


class Terminal:
    """An interactive bash on a pseudo-terminal."""

    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="prompt> ", TERM="dumb", HISTFILE="")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
        self.seen = ""
        self.wait_for("prompt> ")

    def wait_for(self, text):
        """Reads until `text` has come, and returns what came before it."""
        deadline = time.monotonic() + LIMIT
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Failure("no %r on the terminal, only %r" % (text, self.seen))
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def test_terminal(way, prefix):
    """^C reaches the program once, ^Z stops it and fg continues it, and it may read from the terminal."""
    listener = write_file("listener.py", LISTENER)
    command = "%s /usr/bin/python3 %s" % (" ".join(prefix), listener)
    terminal = Terminal()
    terminal.type("stty -echo\n")
    terminal.wait_for("prompt> ")

    terminal.type("%s %d; echo status $?.\n" % (command, signal.SIGINT))
    terminal.wait_for("ready")
    terminal.type("\x03")
    expect("the signals of ^C", re.findall(r"^(\d+)\r$", terminal.wait_for("status 9."), re.M), ["2"])
    terminal.wait_for("prompt> ")

    terminal.type("%s %d\n" % (command, signal.SIGUSR1))
    terminal.wait_for("ready")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.wait_for("prompt> ")
    terminal.type("echo status $?.\n")
    terminal.wait_for("status 148.")
    terminal.wait_for("prompt> ")
    terminal.type("kill -USR1 $(jobs -p); fg; echo status $?.\n")
    expect("the signals after ^Z, kill and fg", re.findall(r"^(\d+)\r$", terminal.wait_for("status 9."), re.M),
           [str(int(signal.SIGUSR1))])
    terminal.wait_for("prompt> ")

    terminal.type("%s sh -c 'read line; echo \"<$line>\"'\n" % " ".join(prefix))
    time.sleep(0.2)
    terminal.type("typed\n")
    terminal.wait_for("<typed>")
    terminal.wait_for("prompt> ")
    terminal.close()


# ---- The summary, the launcher's JSON and the command line

def test_summary():
    done = call([RUN, "bash", "-c", ":"])
    if not SUMMARY.search(done.stderr) or b"not available" in done.stderr:
        raise Failure("stderr is %r" % done.stderr)
    calls = re.search(rb"malloc ([0-9,]+)", done.stderr).group(1)
    if int(calls.replace(b",", b"")) == 0:
        raise Failure("no call was counted: %r" % done.stderr)
    done = call([RUN, "bash", "-c", "bash -c :; bash -c :; :"])
    expect("the number of processes", re.findall(rb"processes  ([0-9]+) ", done.stderr), [b"3"])


def test_summary_without_counts():
    """The launcher itself stands for a static program, which cannot load the library."""
    done = call([RUN, LAUNCH])
    expect("the status", done.returncode, 125)
    if b"allocation counts not available" not in done.stderr:
        raise Failure("stderr is %r" % done.stderr)


def test_no_stats_file_stays():
    runtime = tempfile.mkdtemp(dir=WORK)
    environment = dict(os.environ, XDG_RUNTIME_DIR=runtime)
    seen = call([RUN, "ls", runtime], env=environment).stdout
    if not re.fullmatch(rb"vmalloc-stats\.\w{6}\n", seen):
        raise Failure("while the program runs there is %r" % seen)
    call([RUN, "sh", "-c", "kill -KILL $$"], env=environment)
    call([RUN, "no-such-program-anywhere"], env=environment)
    expect("what is left", os.listdir(runtime), [])


def test_files_of_killed_launchers_are_swept():
    """The next launcher removes them; one whose launcher lives stays, and so does what only looks like one."""
    runtime = tempfile.mkdtemp(dir=WORK)
    environment = dict(os.environ, XDG_RUNTIME_DIR=runtime)
    launch = [LAUNCH, "--preload", LIBRARY, "--stats"]

    def start():
        before = set(os.listdir(runtime))
        process = subprocess.Popen(launch + ["sh", "-c", "echo; exec sleep 60"], env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        process.stdout.readline()
        (name,) = set(os.listdir(runtime)) - before
        return process, name

    killed, stale = start()
    killed.kill()
    killed.communicate(timeout=LIMIT)
    living, used = start()
    with open(os.path.join(runtime, "vmalloc-stats.other-file"), "w"):
        pass
    os.symlink("vmalloc-stats.other-file", os.path.join(runtime, "vmalloc-stats.ABCDEF"))
    kept = {used, "vmalloc-stats.other-file", "vmalloc-stats.ABCDEF"}
    call(launch + ["true"], env=environment)
    expect("what is left when all are young", set(os.listdir(runtime)), kept | {stale})
    for name in os.listdir(runtime):
        os.utime(os.path.join(runtime, name), (1, 1), follow_symlinks=False)
    call(launch + ["true"], env=environment)
    expect("what is left", set(os.listdir(runtime)), kept)
    living.terminate()
    living.communicate(timeout=LIMIT)
    expect("what is left at the end", set(os.listdir(runtime)), kept - {used})


def test_json():
    path = os.path.join(WORK, "figures.json")

    def figures(arguments, program):
        call([LAUNCH, "--json", path] + arguments + ["--"] + program)
        with open(path) as file:
            return json.load(file)

    found = figures(["--preload", LIBRARY], ["bash", "-c", "exit 3"])
    expect("exit_status and signal", (found["exit_status"], found["signal"]), (3, None))
    expect("processes", found["processes"], 1)
    for name in "mallocs", "peak_live_bytes", "peak_rss_bytes", "minor_faults", "seconds":
        if not found[name] > 0:
            raise Failure("%s is %r" % (name, found[name]))
    found = figures(["--preload", LIBRARY, "--no-counts"], ["bash", "-c", '[ -z "${VMALLOC_OPTIONS:-}" ]'])
    expect("exit_status and mallocs with --no-counts", (found["exit_status"], found["mallocs"]), (0, None))
    found = figures([], ["sh", "-c", "kill -TERM $$"])
    expect("exit_status and signal", (found["exit_status"], found["signal"]), (None, 15))
    expect("counts of a run without the library",
           [found[name] for name in ("processes", "mallocs", "frees", "reallocs", "peak_live_bytes")], [None] * 5)


def test_command_line():
    done = call([RUN, "--help"])
    expect("--help: status, stderr", (done.returncode, done.stderr), (0, b""))
    if not done.stdout.startswith(b"usage: scripts/run"):
        raise Failure("--help says %r" % done.stdout)
    for arguments in ["-q"], ["-x", "true"], ["-q", "--"]:
        done = call([RUN] + arguments)
        expect("%s: status, stdout" % arguments, (done.returncode, done.stdout), (125, b""))
    link = os.path.join(WORK, "link")
    os.symlink(RUN, link)
    done = call([link, "echo", "hello"], cwd="/")
    expect("through a symbolic link", (done.returncode, done.stdout), (0, b"hello\n"))


def main():
    failures = 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        title = name[len("test_"):].replace("_", " ")
        takes_way = test.__code__.co_argcount == 2
        for way, prefix in (WAYS if takes_way else {"": []}).items():
            label = "%s: %s" % (way or "run", title)
            try:
                test(way, prefix) if takes_way else test()
                print("PASS " + label, flush=True)
            except (Failure, subprocess.TimeoutExpired, OSError) as error:
                print("FAIL %s: %s" % (label, str(error).replace("\n", "\\n")), flush=True)
                failures += 1
            os.system("rm -rf '%s'; mkdir '%s'" % (WORK, WORK))
    os.system("rm -rf '%s'" % WORK)
    return 1 if failures else 0


sys.exit(main())
