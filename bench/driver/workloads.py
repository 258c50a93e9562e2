"""What bench/run measures and how one run of it is started: the loops of
bench/loops, the programs of bench/programs, the cases of bench/micro, and a
command of the user's own (scripts/compare). Every run goes through the
launcher bench/measure.c, so that no memory of this process is counted."""
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time

BENCH = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PROGRAMS = os.path.join(BENCH, "programs")
# Each loop with the count that makes it some 0.2 s long.
LOOPS = {"cfrac": "120000", "espresso": "25", "prodcons": "6000",
         "large": "60"}
QUICK_MICRO = os.path.join(BENCH, "micro", "quick")
MIN_TIME, QUICK_MIN_TIME = 0.2, 0.05  # seconds, of a micro-benchmark
# What Google Benchmark adds to the name of a case.
SUFFIXES = "/(iterations:[0-9]+|process_time|real_time|manual_time)"
NOT_INSTALLED = 77
TIME_LIMIT_S = 600        # of one run, as in measure.c
QUICK_TIME_LIMIT_S = 30
GRACE_S = 10  # for a server to end, or for a client without a server


class Failed(Exception):
    """A run that gave no figures; the message says why."""


class Missing(Exception):
    """A workload that cannot run here; the message is for the SKIP line."""


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    env.update(more)
    return env


def status_text(status):
    if status <= 128:
        return f"exit status {status}"
    try:
        return f"ended by {signal.Signals(status - 128).name}"
    except ValueError:
        return f"exit status {status}"


def tail(file):
    """The last line of what a program wrote, for a message."""
    file.seek(0)
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""


def digest(file):
    file.seek(0)
    found = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        found.update(block)
    return found.hexdigest()[:16]


class Workload:
    """kind and name; argv: what to start, in the folder cwd."""
    client = None
    keeps_output = True
    may_fail = False  # an exit status other than 0 is the program's own way
    stdin = os.devnull
    time_limit = TIME_LIMIT_S

    def __init__(self, kind, name, argv, cwd=None, env=None):
        self.kind, self.name, self.argv = kind, name, argv
        self.cwd, self.env = cwd, env

    def run(self, launcher, library):
        """One run under the library: a sample, without its round."""
        with tempfile.TemporaryFile() as output, \
                tempfile.TemporaryFile() as complaints:
            return self.run_into(launcher, library, output, complaints)

    def run_into(self, launcher, library, output, complaints):
        reading, writing = os.pipe()
        wall = None
        own = self.keeps_output and not self.client
        with os.fdopen(reading) as report, open(self.stdin, "rb") as stdin:
            child = subprocess.Popen(
                [launcher, str(writing), library, *self.argv],
                pass_fds=[writing], cwd=self.cwd, env=self.env, stdin=stdin,
                stdout=output if own else subprocess.DEVNULL,
                stderr=complaints, start_new_session=True)
            os.close(writing)
            try:
                if self.client:
                    wall = self.run_client(child, output, complaints)
                child.wait(self.time_limit)
            except subprocess.TimeoutExpired:
                raise Failed(f"not done after {self.time_limit} s"
                             + tail(complaints)) from None
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
            fields = report.read().split()
        if len(fields) != 7:
            raise Failed(f"the launcher failed{tail(complaints)}")
        return self.sample([int(f) for f in fields], wall, output, complaints)

    def sample(self, fields, wall, output, complaints):
        elapsed, user, system, rss, minor, major, status = fields
        if status != 0 and not (self.may_fail and status < 126):
            raise Failed(status_text(status) + tail(complaints))
        sample = {"wall": elapsed / 1e6 if wall is None else wall,
                  "cpu": (user + system) / 1e6, "user": user / 1e6,
                  "sys": system / 1e6, "rss": rss, "minor": minor,
                  "major": major, "iterations": 1,
                  "output": digest(output) if self.keeps_output else "",
                  "extra": {}}
        if self.may_fail:
            sample["output"] += f" status {status}"
            sample["extra"]["exit_status"] = status
        return sample

    def run_client(self, server, output, complaints):
        """Runs the client beside the server; its time in seconds."""
        start = time.monotonic()
        client = subprocess.Popen(self.client, cwd=self.cwd,
                                  env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=complaints,
                                  start_new_session=True)
        try:
            limit = self.time_limit
            while client.poll() is None:
                if server.poll() is not None:
                    limit = min(limit, time.monotonic() - start + GRACE_S)
                try:
                    client.wait(1)
                except subprocess.TimeoutExpired:
                    if time.monotonic() - start > limit:
                        raise Failed("the client does not end"
                                     + tail(complaints)) from None
            elapsed = time.monotonic() - start
            if client.returncode != 0:
                status = client.returncode
                raise Failed("the client: " + status_text(
                    status if status >= 0 else 128 - status)
                    + tail(complaints))
        finally:
            if client.poll() is None:
                os.killpg(client.pid, signal.SIGKILL)
                client.wait()
        try:
            server.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            raise Failed("the server did not end after its client") from None
        return elapsed


class MicroCase(Workload):
    """One case of the Google Benchmark program, in a process of its own."""

    def sample(self, fields, wall, output, complaints):
        sample = super().sample(fields, wall, output, complaints)
        output.seek(0)
        try:
            entries = [e for e in json.load(output)["benchmarks"]
                       if e.get("run_type", "iteration") == "iteration"]
            entry, = entries
            if entry.get("error_occurred"):
                raise Failed(entry.get("error_message") or "no reason given")
            unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3,
                    "s": 1}[entry["time_unit"]]
            sample.update(wall=entry["real_time"] * unit,
                          cpu=entry["cpu_time"] * unit,
                          iterations=entry["iterations"], output="",
                          extra=self.counters(entry))
        except (ValueError, KeyError) as error:
            raise Failed(f"no Google Benchmark JSON on stdout ({error})"
                         + tail(complaints)) from error
        return sample

    @staticmethod
    def counters(entry):
        """The case's own numbers; faults get a name that is not taken."""
        known = {"real_time", "cpu_time", "iterations", "threads",
                 "repetitions", "repetition_index", "family_index",
                 "per_family_instance_index"}
        return {"case_faults" if k == "minor_faults" else k: v
                for k, v in entry.items()
                if isinstance(v, (int, float)) and k not in known}


def loops(binaries, quick):
    env = environment(LC_ALL="C")
    for name, count in LOOPS.items():
        argv = [os.path.join(binaries, name)] + ([count] if quick else [])
        yield Workload("loops", name, argv, env=env)


def program_names():
    if not os.path.isdir(PROGRAMS):
        return []
    return sorted(name for name in os.listdir(PROGRAMS)
                  if os.access(os.path.join(PROGRAMS, name), os.X_OK)
                  and os.path.isfile(os.path.join(PROGRAMS, name))
                  and "." not in name and not name.endswith("~"))


def ask(name, *args):
    """What bench/programs/NAME says: (exit status, stdout, stderr)."""
    result = subprocess.run([os.path.join(PROGRAMS, name), *args], text=True,
                            env=environment(LC_ALL="C"), check=False,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    return result.returncode, result.stdout.rstrip("\n"), result.stderr


def program(binaries, name, quick):
    """The workload and its line of description; makes its inputs if they are
    not there yet."""
    folder = os.path.join(binaries, "data", name)
    os.makedirs(folder, exist_ok=True)
    scale = "quick" if quick else "full"

    def need(*args):
        status, out, err = ask(name, *args)
        if status == NOT_INSTALLED:
            _, packages, _ = ask(name, "packages")
            raise Missing(f"not installed (packages: {packages})")
        if status != 0:
            reason = (err.strip().splitlines() or ["no reason given"])[-1]
            raise Missing(f"{args[0]} failed, {status_text(status)}: {reason}")
        return out

    need("prepare", folder, scale)
    argv = need("command", folder, scale).split("\n")
    workload = Workload("programs", name, argv, cwd=folder,
                        env=environment(LC_ALL="C", TZ="UTC"))
    if " client DIR" in need("--help"):
        workload.client = [os.path.join(PROGRAMS, name), "client", folder,
                           scale]
    return workload, need("describe")


def quick_patterns():
    try:
        with open(QUICK_MICRO, encoding="utf-8") as file:
            lines = [line.split("#")[0].strip() for line in file]
    except FileNotFoundError:
        return ["*"]
    return [line for line in lines if line]


def micro_cases(binaries, quick):
    """MicroCase after MicroCase; Missing if the program was not built."""
    path = os.path.join(binaries, "micro")
    if not os.path.exists(path):
        raise Missing("not built (packages: g++ libbenchmark-dev)")
    env = environment(LC_ALL="C")
    listing = subprocess.run([path, "--benchmark_list_tests"], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, text=True, check=False)
    if listing.returncode != 0:
        raise Missing(f"{path} --benchmark_list_tests failed, "
                      + status_text(listing.returncode))
    patterns = quick_patterns() if quick else ["*"]
    for line in listing.stdout.split():
        name = re.sub(SUFFIXES, "", line)
        if not matches(name, patterns) and not matches(line, patterns):
            continue
        escaped = re.sub(r"([][.*+?^$(){}|\\])", r"\\\1", line)
        least = QUICK_MIN_TIME if quick else MIN_TIME
        yield MicroCase("micro", name, [
            path, f"--benchmark_filter=^{escaped}$",
            "--benchmark_format=json", f"--benchmark_min_time={least}"],
                        env=env)


def command(argv, stdin, check):
    """The user's own program, in the folder and environment we are in."""
    workload = Workload("command", os.path.basename(argv[0]), argv,
                        env=environment())
    workload.keeps_output = check
    workload.may_fail = True
    workload.stdin = stdin
    return workload, shlex.join(argv)


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def find(binaries, kinds, only, quick, results, say, quiet):
    """All workloads of these kinds whose name, or kind/name, matches. What
    cannot run is told to `say` and noted in the results."""
    def skip(name, reason):
        line = f"SKIP: {name}: {reason}"
        say(line)
        if line not in results.skipped:
            results.skipped.append(line)

    def wanted(kind, name):
        return matches(name, only) or matches(f"{kind}/{name}", only)

    found = []
    if "loops" in kinds:
        found += [w for w in loops(binaries, quick) if wanted("loops", w.name)]
    if "programs" in kinds:
        names = [n for n in program_names() if wanted("programs", n)]
        if not quiet and not all(os.path.isdir(os.path.join(
                binaries, "data", name)) for name in names):
            say("making the inputs of the programs (this once)")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            prepared = [(name, pool.submit(program, binaries, name, quick))
                        for name in names]
        for name, future in prepared:
            try:
                workload, line = future.result()
                results.about["programs", name] = line
                found.append(workload)
            except Missing as error:
                skip(f"programs/{name}", error)
    if "micro" in kinds:
        try:
            found += [case for case in micro_cases(binaries, quick)
                      if wanted("micro", case.name)]
        except Missing as error:
            skip("micro", error)
    for workload in found:
        workload.time_limit = QUICK_TIME_LIMIT_S if quick else TIME_LIMIT_S
    return found
