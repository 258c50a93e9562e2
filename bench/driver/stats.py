"""The arithmetic of bench/run and bench/compare: medians, geometric means, and
whether two sets of samples differ. Pure functions of lists of numbers; nothing
here knows what was measured. Tested by tests/tool/bench.py."""
import functools
import math
import random
import statistics

RESAMPLES = 2000
EXACT_UP_TO = 24  # samples of both sides together; beyond, the normal curve


def median(values):
    return statistics.median(values)


def geometric_mean(values):
    """Of positive numbers; None when there are none."""
    if not values:
        return None
    return math.exp(sum(math.log(v) for v in values) / len(values))


def double_ranks(values):
    """Twice the rank of each value; equal values share their mean rank."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while (end + 1 < len(order) and
               values[order[end + 1]] == values[order[start]]):
            end += 1
        for i in order[start:end + 1]:
            ranks[i] = start + end + 2
        start = end + 1
    return ranks


@functools.lru_cache(maxsize=256)
def sums_of_subsets(ranks, size):
    """How many subsets of that size have each sum: a list of (sum, count)."""
    counts = [{} for _ in range(size + 1)]
    counts[0][0] = 1
    for rank in ranks:
        for taken in range(size, 0, -1):
            into = counts[taken]
            for total, ways in counts[taken - 1].items():
                into[total + rank] = into.get(total + rank, 0) + ways
    return list(counts[size].items())


def mann_whitney(a, b):
    """The two-sided p of Mann and Whitney's U test: how often chance alone
    parts the samples at least this much. Ties are allowed for."""
    n, m = len(a), len(b)
    ranks = double_ranks(list(a) + list(b))
    middle = n * (n + m + 1)
    off = abs(sum(ranks[:n]) - middle)
    if n + m <= EXACT_UP_TO:
        sums = sums_of_subsets(tuple(sorted(ranks)), n)
        as_far = sum(ways for total, ways in sums if abs(total - middle) >= off)
        return as_far / math.comb(n + m, n)
    mean = sum(ranks) / (n + m)
    variance = (n * m / (n + m) / (n + m - 1) *
                sum((rank - mean) ** 2 for rank in ranks))
    if variance == 0:
        return 1.0
    # A step of the sum is two doubled ranks; half a step is the correction.
    z = max(off - 1, 0) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def correct_for_many(ps):
    """Benjamini and Hochberg: if everything with a result under 0.05 is called
    a difference, at most one call in twenty is expected to be wrong."""
    order = sorted(range(len(ps)), key=lambda i: ps[i], reverse=True)
    result = [1.0] * len(ps)
    least = 1.0
    for place, i in enumerate(order):
        least = min(least, ps[i] * len(ps) / (len(ps) - place))
        result[i] = least
    return result


def bootstrap(groups, statistic, level=0.95, seed=1):
    """(low, high): where statistic(groups) lies with that confidence, from
    drawing every group's samples anew, with replacement."""
    draw = random.Random(seed)
    found = sorted(statistic([draw.choices(group, k=len(group))
                              for group in groups])
                   for _ in range(RESAMPLES))
    tail = (1 - level) / 2
    last = len(found) - 1
    return found[math.floor(tail * last)], found[math.ceil((1 - tail) * last)]
