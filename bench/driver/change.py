"""Whether two sets of results differ, row by row: what bench/compare prints.
A row is a workload and a measure. The samples of both sides are taken as they
are, or, where both runs measured the same other libraries beside, with the
drift of these taken out: what made all the others slower between the two runs
was the machine."""
from driver import results as R, stats

SURE = 0.05  # of the differences called, at most one in twenty is by chance
WORDS = {"wall": ("faster", "slower"), "cpu": ("faster", "slower"),
         "rss": ("smaller", "larger")}
NO_DIFFERENCE = "no difference seen"
PEERS_NEEDED = 2


class Row:
    """One workload and measure: groups is [old, new, a peer's old, its new,
    ...]; ratio is new / old without the drift, low and high its interval."""

    def __init__(self, kind, workload, measure, groups):
        self.kind, self.workload, self.measure = kind, workload, measure
        self.groups = groups
        self.old, self.new = stats.median(groups[0]), stats.median(groups[1])
        self.drift = drift_of(groups)
        self.ratio = ratio_of(groups)
        self.low, self.high = stats.bootstrap(groups, ratio_of)
        self.p = stats.mann_whitney(groups[0],
                                    [v / self.drift for v in groups[1]])
        self.verdict = NO_DIFFERENCE


def drift_of(groups):
    """The median ratio of the peers; 1 where there are too few of them."""
    if len(groups) < 2 + 2 * PEERS_NEEDED:
        return 1.0
    return stats.median([stats.median(groups[i + 1]) / stats.median(groups[i])
                         for i in range(2, len(groups), 2)])


def ratio_of(groups):
    return (stats.median(groups[1]) / stats.median(groups[0])
            / drift_of(groups))


def word(measure, ratio):
    return WORDS[measure][0 if ratio < 1 else 1]


def judge(rows, least):
    """Fills in the verdicts: a row differs if the test says so after it was
    corrected for the number of rows, the interval leaves out 1, and the
    ratio is at least `least` away from 1."""
    corrected = stats.correct_for_many([row.p for row in rows])
    for row, p in zip(rows, corrected):
        row.p = p
        if p < SURE and not row.low <= 1 <= row.high and \
                max(row.ratio, 1 / row.ratio) >= 1 + least:
            row.verdict = word(row.measure, row.ratio)


def peers_of(old, new, names):
    """The allocators of both runs that are the same file and not compared."""
    if old is new:
        return []
    before, after = old.context["allocators"], new.context["allocators"]
    return [name for name in before if name not in names and name in after
            and before[name]["digest"]
            and before[name]["digest"] == after[name]["digest"]]


def rows_of(old, new, names, measures, wanted):
    """The rows that both runs have, for old's names[0] and new's names[1]."""
    peers = peers_of(old, new, names)
    found = []
    for measure in measures:
        for kind in old.kinds():
            for workload in old.rows(kind):
                if not wanted(kind, workload):
                    continue
                key = kind, workload
                groups = [old.values(*key, names[0], measure),
                          new.values(*key, names[1], measure)]
                if not groups[0] or not groups[1]:
                    continue
                for peer in peers:
                    pair = [run.values(*key, peer, measure)
                            for run in (old, new)]
                    if pair[0] and pair[1]:
                        groups += pair
                if all(min(group) > 0 for group in groups):
                    found.append(Row(*key, measure, groups))
    return found


def mean_of(rows):
    """(ratio, low, high) of the geometric mean over these rows."""
    def mean(draws):
        return stats.geometric_mean([ratio_of(d) for d in draws])

    def statistic(flat):
        flat = iter(flat)
        return mean([[next(flat) for _ in row.groups] for row in rows])

    low, high = stats.bootstrap([g for row in rows for g in row.groups],
                                statistic)
    return mean([row.groups for row in rows]), low, high


# ---- Text ------------------------------------------------------------------

def value_text(measure, value):
    if measure == "rss":
        return f"{value / 1024:.2f} MiB"
    unit = next((u for u in R.UNITS if value >= R.UNITS[u]), "ns")
    return f"{value / R.UNITS[unit]:.2f} {unit}"


def interval_text(low, high):
    return f"{low:.3f}..{high:.3f}"


def table_of(rows, measure, kind, only_changed):
    """The rows of one kind and measure, and their geometric mean."""
    mine = [r for r in rows if r.measure == measure and r.kind == kind]
    shown = [r for r in mine
             if not only_changed or r.verdict != NO_DIFFERENCE]
    drifts = any(r.drift != 1 for r in rows)
    lines = [[r.workload, value_text(measure, r.old),
              value_text(measure, r.new)] + [f"{r.drift:.3f}"] * drifts +
             [f"{r.ratio:.3f}", interval_text(r.low, r.high), f"{r.p:.3f}",
              r.verdict] for r in shown]
    ratio, low, high = mean_of(mine)
    verdict = NO_DIFFERENCE if low <= 1 <= high else word(measure, ratio)
    lines.append(["geometric mean", "", ""] + [""] * drifts +
                 [f"{ratio:.3f}", interval_text(low, high), "", verdict])
    return R.table([kind, "old", "new"] + ["drift"] * drifts +
                   ["new / old", "95 %", "p", "verdict"], lines)


def summary_of(rows, measure):
    counts = {}
    for row in rows:
        if row.measure == measure:
            counts[row.verdict] = counts.get(row.verdict, 0) + 1
    words = WORDS[measure] + (NO_DIFFERENCE,)
    return f"{R.TITLES[measure]}: " + ", ".join(
        f"{counts.get(w, 0)} {w}" for w in words)
