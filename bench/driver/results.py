"""What a run of bench/run measured, and how it is written: results.json (the
schema of Google Benchmark), results.csv (the same entries as lines) and
results.md (tables). Read again by bench/compare and by --resume.

A sample is a dictionary: round, wall, cpu, user, sys (seconds; of one
operation for the micro-benchmarks), rss (KiB), minor, major, iterations,
output (digest of what the program printed), extra (named counters)."""
import csv
import datetime
import io
import json
import os
import statistics

from driver import stats

OURS = "libvmalloc"
MEASURES = ("wall", "cpu", "rss")
TITLES = {"wall": "wall time", "cpu": "CPU time", "rss": "peak RSS"}
UNITS = {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
KINDS = ("loops", "programs", "micro", "command")
# JSON name and key of a sample; times are in the entry's time_unit.
TIMES = (("real_time", "wall"), ("cpu_time", "cpu"), ("user_time", "user"),
         ("system_time", "sys"))
COUNTS = (("peak_rss_kib", "rss"), ("minor_faults", "minor"),
          ("major_faults", "major"))
AGGREGATES = (("mean", statistics.mean), ("median", statistics.median),
              ("stddev", lambda v: statistics.stdev(v) if len(v) > 1 else 0.0))
FIRST_COLUMNS = ["name", "iterations", "real_time", "cpu_time", "time_unit",
                 "bytes_per_second", "items_per_second", "label",
                 "error_occurred", "error_message"]


class BadFile(Exception):
    """A results.json that cannot be used; the message names it."""


class Results:
    def __init__(self, context):
        self.context = context
        self.samples = {}  # (kind, workload) -> allocator -> list of samples
        self.errors = {}   # (kind, workload, allocator) -> what went wrong
        self.skipped = []  # lines about workloads that could not be run
        self.about = {}    # (kind, workload) -> a line that describes it

    @property
    def allocators(self):
        return list(self.context["allocators"])

    def add(self, kind, workload, allocator, sample):
        row = self.samples.setdefault((kind, workload), {})
        row.setdefault(allocator, []).append(sample)

    def has(self, kind, workload, allocator, number):
        runs = self.samples.get((kind, workload), {}).get(allocator, [])
        return any(sample["round"] == number for sample in runs)

    def statuses(self):
        """The exit statuses other than 0 that a command of the user's had."""
        return sorted({s["extra"]["exit_status"]
                       for row in self.samples.values()
                       for runs in row.values() for s in runs
                       if s["extra"].get("exit_status")})

    def kinds(self):
        return [kind for kind in KINDS if self.rows(kind)]

    def rows(self, kind):
        keys = dict.fromkeys(self.samples)
        keys.update(dict.fromkeys(key[:2] for key in self.errors))
        return [name for its_kind, name in keys if its_kind == kind]

    def values(self, kind, workload, allocator, measure):
        if (kind, workload, allocator) in self.errors:
            return []
        runs = self.samples.get((kind, workload), {}).get(allocator, [])
        return [sample[measure] for sample in runs]

    def ratios(self, kind, workload, measure):
        """allocator -> its median / the least median of all but OURS."""
        medians = {}
        for name in self.allocators:
            values = self.values(kind, workload, name, measure)
            if values:
                medians[name] = stats.median(values)
        best = min((m for name, m in medians.items() if name != OURS),
                   default=0)
        if best <= 0:
            return {}
        return {name: m / best for name, m in medians.items()}

    def means(self, kind, measure):
        """allocator -> (geometric mean of its ratios, how many)."""
        found = {name: [] for name in self.allocators}
        for workload in self.rows(kind):
            for name, ratio in self.ratios(kind, workload, measure).items():
                if ratio > 0:
                    found[name].append(ratio)
        return {name: (stats.geometric_mean(r), len(r))
                for name, r in found.items() if r}

    def worst(self, kind, measure):
        """(ratio, workload) of OURS where it is farthest behind, or None."""
        found = [(self.ratios(kind, w, measure).get(OURS, 0), w)
                 for w in self.rows(kind)]
        return max(found, default=None)


# ---- JSON and CSV ----------------------------------------------------------

def unit_of(kind):
    return "ns" if kind == "micro" else "s"


def entry_of(kind, workload, allocator):
    name = f"{kind}/{workload}/{allocator}"
    return {"name": name, "run_name": name, "kind": kind,
            "workload": workload, "allocator": allocator, "threads": 1}


def entry_of_sample(kind, sample):
    unit = unit_of(kind)
    entry = {"run_type": "iteration", "repetition_index": sample["round"],
             "iterations": sample["iterations"], "time_unit": unit}
    for name, key in TIMES:
        entry[name] = sample[key] / UNITS[unit]
    for name, key in COUNTS:
        entry[name] = sample[key]
    entry["output"] = sample["output"]
    entry.update(sample["extra"])
    return entry


def aggregate(entries, name, function):
    result = {"run_type": "aggregate", "aggregate_name": name,
              "aggregate_unit": "time", "iterations": len(entries),
              "time_unit": entries[0]["time_unit"]}
    for key, value in entries[0].items():
        if isinstance(value, (int, float)) and key not in (
                "repetition_index", "iterations", "threads"):
            numbers = [e[key] for e in entries if key in e]
            result[key] = function(numbers)
    return result


def entries_of(results):
    found = []
    for (kind, workload), row in results.samples.items():
        for allocator, runs in row.items():
            base = entry_of(kind, workload, allocator)
            entries = [entry_of_sample(kind, sample) for sample in runs]
            for entry in entries:
                found.append({**base, "repetitions": len(runs), **entry})
            for name, function in AGGREGATES:
                summary = aggregate(entries, name, function)
                found.append({**base, "name": f"{base['name']}_{name}",
                              "repetitions": len(runs), **summary})
    for key, message in results.errors.items():
        found.append({**entry_of(*key), "run_type": "iteration",
                      "repetitions": 1, "repetition_index": 0,
                      "iterations": 0, "real_time": 0.0, "cpu_time": 0.0,
                      "time_unit": unit_of(key[0]), "error_occurred": True,
                      "error_message": message})
    return found


def to_json(results):
    context = dict(results.context)
    context["skipped"] = results.skipped
    context["about"] = {"/".join(key): line
                        for key, line in results.about.items()}
    return json.dumps({"context": context, "benchmarks": entries_of(results)},
                      indent=1) + "\n"


def sample_of(entry):
    unit = UNITS[entry["time_unit"]]
    sample = {"round": entry["repetition_index"],
              "iterations": entry["iterations"], "output": entry["output"]}
    for name, key in TIMES:
        sample[key] = entry[name] * unit
    for name, key in COUNTS:
        sample[key] = entry[name]
    known = {name for name, _ in TIMES + COUNTS}
    known.update(("name", "run_name", "kind", "workload", "allocator",
                  "threads", "repetitions", "run_type", "repetition_index",
                  "iterations", "time_unit", "output"))
    sample["extra"] = {k: v for k, v in entry.items() if k not in known}
    return sample


def load(path):
    if os.path.isdir(path):
        path = os.path.join(path, "results.json")
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        results = Results(document["context"])
        results.skipped = results.context.pop("skipped")
        for key, line in results.context.pop("about").items():
            results.about[tuple(key.split("/", 1))] = line
        results.context["allocators"].items()
        for entry in document["benchmarks"]:
            key = entry["kind"], entry["workload"], entry["allocator"]
            if entry.get("error_occurred"):
                results.errors[key] = entry["error_message"]
            elif entry["run_type"] == "iteration":
                results.add(*key, sample_of(entry))
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(f"{path}: not a results.json of bench/run "
                      f"({type(error).__name__}: {error})") from error
    return results


def to_csv(results):
    entries = entries_of(results)
    columns = dict.fromkeys(FIRST_COLUMNS)
    for entry in entries:
        columns.update(dict.fromkeys(entry))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue()


# ---- Tables ----------------------------------------------------------------

def table(header, rows):
    """A Markdown table, padded so that it reads well as text: the first
    column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [header] + rows)
              for i in range(len(header))]
    widths = [max(width, 3) for width in widths]

    def line(cells):
        parts = [cells[0].ljust(widths[0])]
        parts += [cell.rjust(w) for cell, w in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(parts) + " |"

    rule = ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]
    return "\n".join([line(header), line(rule)] + [line(r) for r in rows])


def cell(ratio, digits=2):
    """So many digits behind the point; a value that is not small, none."""
    if ratio is None:
        return "-"
    return f"{ratio:.{digits}f}" if ratio < 99.95 else f"{ratio:.0f}"


def time_text(values):
    """median (least..greatest) with one unit for the three."""
    middle = stats.median(values)
    unit = next((u for u in UNITS if middle >= UNITS[u]), "ns")
    scaled = [v / UNITS[unit] for v in (middle, min(values), max(values))]
    digits = 2 if scaled[0] < 100 else 1
    middle, low, high = (f"{v:.{digits}f}" for v in scaled)
    return f"{middle} {unit} ({low}..{high})"


def rss_text(values):
    middle, low, high = (f"{v / 1024:.1f}" for v in (
        stats.median(values), min(values), max(values)))
    return f"{middle} ({low}..{high})"


def number_text(value):
    if value == int(value):
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def matrix(results, kind, measure, digits=2):
    """Ratio of every allocator to the best peer of the row."""
    names = results.allocators
    rows = []
    for workload in results.rows(kind):
        ratios = results.ratios(kind, workload, measure)
        row = [workload]
        for name in names:
            failed = (kind, workload, name) in results.errors
            row.append("failed" if failed else cell(ratios.get(name), digits))
        rows.append(row)
    means = results.means(kind, measure)
    rows.append(["geometric mean"] + [
        mean_text(means.get(name), len(rows), digits) for name in names])
    return table([kind] + names, rows)


def mean_text(mean, of, digits=2):
    if mean is None:
        return "-"
    value, count = mean
    return cell(value, digits) + (f" ({count} of {of})" if count < of else "")


def overview(results):
    """The geometric means of every kind, one line a kind and measure."""
    names = results.allocators
    lines = []
    for kind in results.kinds():
        for measure in MEASURES:
            means = results.means(kind, measure)
            rows = len(results.rows(kind))
            line = [f"{kind}, {TITLES[measure]}"]
            line += [mean_text(means.get(n), rows) for n in names]
            worst = results.worst(kind, measure)
            line.append(f"{cell(worst[0])} ({worst[1]})"
                        if OURS in means else "-")
            lines.append(line)
    return table(["geometric mean"] + names + [f"worst of {OURS}"], lines)


def details(results, kind):
    """One line for every workload and allocator."""
    extras = list(dict.fromkeys(
        key for (its_kind, _), row in results.samples.items()
        if its_kind == kind for runs in row.values() for s in runs
        for key, value in s["extra"].items()
        if isinstance(value, (int, float)) and key != "exit_status"))
    header = [kind, "wall", "user + sys", "peak RSS MiB", "minor faults",
              "wall / best peer", "CPU / best peer", "RSS / best peer"]
    header += extras
    lines = []
    for workload in results.rows(kind):
        ratios = {m: results.ratios(kind, workload, m) for m in MEASURES}
        for name in results.allocators:
            runs = results.samples.get((kind, workload), {}).get(name, [])
            if not results.values(kind, workload, name, "wall"):
                continue
            line = [name if kind == "command" else f"{workload}, {name}",
                    time_text([s["wall"] for s in runs]),
                    time_text([s["cpu"] for s in runs]),
                    rss_text([s["rss"] for s in runs]),
                    number_text(stats.median([s["minor"] for s in runs]))]
            line += [cell(ratios[m].get(name)) for m in MEASURES]
            for key in extras:
                values = [s["extra"][key] for s in runs if key in s["extra"]]
                line.append(number_text(stats.median(values))
                            if values else "")
            lines.append(line)
    return table(header, lines)


def troubles(results):
    lines = [f"- failed: {kind}/{workload} under {allocator}: {message}"
             for (kind, workload, allocator), message
             in results.errors.items()]
    return lines + [f"- {line}" for line in results.skipped]


def rounds_text(results):
    counts = {len(runs) for row in results.samples.values()
              for runs in row.values()}
    low, high = min(counts), max(counts)
    return (f"medians of {low if low == high else f'{low} to {high}'} "
            f"interleaved round{'s' if high > 1 else ''}")


def main_tables(results):
    """What is printed at the end, in parts: the means and the ratios of each
    row, or all figures of a command of the user's."""
    if not results.samples:
        return ["Nothing was measured."]
    parts = [f"Ratios to the best peer, the best of all but {OURS}; "
             f"{rounds_text(results)}. Less is better."]
    if results.kinds() == ["command"]:
        return parts + [details(results, "command")]
    parts.append(overview(results))
    for measure in MEASURES:
        title = TITLES[measure]
        parts.append(f"## {title[0].upper()}{title[1:]} / best peer")
        parts += [matrix(results, kind, measure) for kind in results.kinds()]
    return parts


FIGURES = """## All figures

Median (least..greatest). Peak RSS is the kernel's high-water mark of the
largest process of the workload, its program and libraries included. Times of
the micro-benchmarks are of one operation."""


def to_markdown(results, plots=()):
    context = results.context
    parts = [f"# Benchmarks of {context['date'][:10]}"] + main_tables(results)
    parts += [f"![{name}]({name}.svg)" for name in plots]
    if results.kinds() != ["command"]:
        parts.append(FIGURES)
        parts += [details(results, kind) for kind in results.kinds()]
    about = [f"- {key[1]}: {line}" for key, line in results.about.items()]
    if about:
        parts.append("## Workloads\n\n" + "\n".join(about))
    if troubles(results):
        parts.append("## Not measured\n\n" + "\n".join(troubles(results)))
    parts.append("## Machine and versions\n\n" + context["machine"] +
                 f"; load average before the start {context['load']:.2f}\n\n" +
                 "\n".join(f"- {name}: {a['version']}" for name, a
                           in context["allocators"].items()))
    return "\n\n".join(parts) + "\n"


def write(results, folder, plots=()):
    """All three files; each replaces its former version in one step."""
    for name, text in (("results.json", to_json(results)),
                       ("results.csv", to_csv(results)),
                       ("results.md", to_markdown(results, plots))):
        path = os.path.join(folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)


def now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
