"""The plots of bench/run, drawn by gnuplot as SVG and PNG: for every kind of
workload the bars of time and peak RSS relative to the best peer, and one
figure with a point for each allocator, mean time against mean RSS."""
import math
import os
import re
import shutil
import subprocess

from driver import results as R

# Okabe and Ito's palette: told apart with any kind of colour vision. Every
# allocator keeps its colour and mark whichever others are there.
LOOKS = {"libvmalloc": ("#D55E00", 7), "glibc": ("#000000", 4),
         "jemalloc": ("#0072B2", 6), "mimalloc": ("#009E73", 8),
         "tcmalloc": ("#E69F00", 10), "tbb": ("#56B4E9", 12)}
OTHERS = [("#CC79A7", 14), ("#777777", 5), ("#661100", 9), ("#AA9900", 11),
          ("#332288", 13)]
FONT = "Sans,13"
POINTS = "time-and-memory"  # the name of the figure with the points
CEILING = 2.5          # bars end here; their value stands above them
BARS_IN_A_PANEL = 10   # workloads in one panel
NAME_WIDTH = 11        # characters of a workload's name on one line
GROUP_WIDTH, LEAST_WIDTH, KEY_WIDTH = 115, 660, 190
BAR_HEIGHT, LINE = 200, 16
SQUARE = 480           # one panel of the points
TICS = [1, 2, 0.5, 5, 10, 1.5, 3, 0.7, 20, 50, 1.2, 0.8, 1.1, 0.9, 1.3, 1.05,
        0.95, 4, 2.5, 7, 30, 100, 1.7, 15, 0.6, 0.3, 0.2, 0.1, 1.02, 0.98,
        1.01, 0.99]
TIC_DISTANCE = 0.09    # of the axis


class Missing(Exception):
    """There is no gnuplot, or it failed; the message says which."""


def looks(names):
    spare = iter(OTHERS * len(names))
    return {name: LOOKS.get(name) or next(spare) for name in names}


def quoted(text):
    """As a gnuplot string: single quotes, in which nothing but they count."""
    return "'" + text.replace("'", "''") + "'"


def wrapped(name):
    """The name as a gnuplot string, on several lines if it is long."""
    lines = [""]
    for part in re.findall(r"[^/_-]*[/_-]?", name):
        if lines[-1] and len(lines[-1] + part) > NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    text = "\\n".join(re.sub(r"[\\\"]", ".", line) for line in lines)
    return f'"{text}"'


def lines_of(names):
    return max(wrapped(name).count("\\n") + 1 for name in names)


def chunks(items, size):
    """Rows of about equal length, none longer than size."""
    count = -(-len(items) // size)
    return [items[len(items) * i // count:len(items) * (i + 1) // count]
            for i in range(count)]


def block(name, lines):
    return f"${name} << END\n" + "\n".join(lines or ["NaN NaN"]) + "\nEND"


# ---- Bars ------------------------------------------------------------------

def bars_of(results, kind, measure, row, prefix):
    """Data blocks and plot clauses of one panel."""
    names = results.allocators
    style = looks(names)
    width = 0.84 / len(names)
    data, plots = [], []
    for place, name in enumerate(names):
        bars, labels = [], []
        for i, workload in enumerate(row):
            ratio = results.ratios(kind, workload, measure).get(name)
            if ratio is None:
                continue
            x = i + (place - (len(names) - 1) / 2) * width
            bars.append(f"{x:.4f} {min(ratio, CEILING):.4f}")
            if ratio > CEILING:
                labels.append(f"{x:.4f} {CEILING} {ratio:.3g}")
        data.append(block(f"{prefix}_{place}", bars))
        plots.append(f"${prefix}_{place} using 1:2:({width * 0.92:.4f}) with "
                     f"boxes lc rgb '{style[name][0]}' title {quoted(name)}")
        if labels:
            data.append(block(f"{prefix}_{place}_over", labels))
            plots.append(f"${prefix}_{place}_over using 1:2:3 with labels "
                         "rotate by 90 left offset 0,0.3 font ',9' notitle")
    plots.append("1 with lines lc '#555555' dt 2 notitle")
    return data, plots


def bars_script(results, kind):
    """gnuplot commands, width and height of the picture."""
    rows = chunks(results.rows(kind), BARS_IN_A_PANEL)
    panels = [(m, row) for m in ("wall", "rss") for row in rows]
    below = [LINE * lines_of(row) + 45 for _, row in panels]
    height = 40 + sum(below) + (BAR_HEIGHT + 20) * len(panels)
    groups = max(len(row) for row in rows)
    panel_width = max(100 + GROUP_WIDTH * groups, LEAST_WIDTH)
    width = panel_width + KEY_WIDTH
    top = height - 40
    lines = ["set multiplot title "
             + quoted(f"{kind}: medians relative to the best peer "
                      f"(the best of all but {R.OURS}); less is better"),
             "set style fill solid 1.0",
             f"set yrange [0:{CEILING * 1.2}]",
             f"set ytics 0,0.5,{CEILING}", "set xtics font ',11' noenhanced",
             "set tics nomirror out scale 0.5", "set border 3",
             f"set lmargin at screen {95 / width:.4f}",
             f"set rmargin at screen {(panel_width - 10) / width:.4f}",
             "set key noenhanced vertical Left reverse maxcols 1 at screen "
             f"{(width - 10) / width:.4f}, screen {top / height:.4f} "
             "right top"]
    for number, (measure, row) in enumerate(panels):
        data, plots = bars_of(results, kind, measure, row, f"panel{number}")
        tics = ", ".join(f"{wrapped(name)} {i}" for i, name in enumerate(row))
        lines += [f"set tmargin at screen {top / height:.4f}",
                  f"set bmargin at screen {(top - BAR_HEIGHT) / height:.4f}",
                  f"set ylabel {quoted(R.TITLES[measure] + ' / best peer')}",
                  f"set xtics ({tics})",
                  f"set xlabel 'workload' offset 0,{1 - lines_of(row)}",
                  f"set xrange [-0.6:{groups - 0.4}]"]
        lines += data + ["plot " + ", \\\n  ".join(plots), "unset key"]
        top -= BAR_HEIGHT + below[number] + 20
    lines.append("unset multiplot")
    return "\n".join(lines), width, height


# ---- Points ----------------------------------------------------------------

def axis(values):
    """Ends and tics of a logarithmic axis with room round the points and
    round 1."""
    low, high = min(values + [1.0]), max(values + [1.0])
    room = max((high / low) ** 0.12, 1.02)
    low, high = low / room, high * room
    tics = []
    for tic in TICS:
        if low <= tic <= high and all(
                abs(math.log(tic / t)) >= TIC_DISTANCE * math.log(high / low)
                for t in tics):
            tics.append(tic)
    marks = ", ".join(f"'{t:g}' {t}" for t in sorted(tics))
    return f"[{low:.4f}:{high:.4f}]", f"({marks})"


def points_of(results, kind, prefix):
    """Data blocks, plot clauses and the coordinates of one panel. Ours comes
    first: the open marks of the others stay visible over it."""
    times, sizes = results.means(kind, "wall"), results.means(kind, "rss")
    style = looks(results.allocators)
    data, plots, xs, ys = [], [], [], []
    for name in sorted(results.allocators, key=lambda n: n != R.OURS):
        tag = f"{prefix}_{len(data)}"
        points = []
        if name in times and name in sizes:
            xs.append(times[name][0])
            ys.append(sizes[name][0])
            points = [f"{xs[-1]:.4f} {ys[-1]:.4f}"]
        color, mark = style[name]
        data.append(block(tag, points))
        plots.append(f"${tag} using 1:2 with points pt {mark} ps "
                     f"{2.4 if name == R.OURS else 1.9} lw 2 lc rgb "
                     f"'{color}' title {quoted(name)}")
    return data, plots, xs, ys


def points_script(results, kinds):
    width = SQUARE * len(kinds) + KEY_WIDTH
    height = SQUARE + 85
    lines = ["set multiplot title \"Geometric means of the ratios to the best "
             "peer;\\nnearer to the lower left is better\"",
             "set logscale xy", "set tics nomirror out scale 0.5",
             "set border 3", "set xlabel 'wall time / best peer'",
             "set ylabel 'peak RSS / best peer'",
             f"set bmargin at screen {75 / height:.4f}",
             f"set tmargin at screen {1 - 100 / height:.4f}",
             "set key noenhanced vertical Left reverse maxcols 1 at screen "
             f"{(width - 10) / width:.4f}, screen {1 - 100 / height:.4f} "
             "right top"]
    for number, kind in enumerate(kinds):
        data, plots, xs, ys = points_of(results, kind, f"mean{number}")
        (x, xtics), (y, ytics) = axis(xs), axis(ys)
        left = SQUARE * number + 75
        count = len(results.rows(kind))
        lines += [f"set lmargin at screen {left / width:.4f}",
                  f"set rmargin at screen {(left + SQUARE - 90) / width:.4f}",
                  f"set title '{kind}, {count} "
                  f"workload{'s' if count > 1 else ''}'",
                  f"set xrange {x}", f"set yrange {y}",
                  f"set xtics {xtics}", f"set ytics {ytics}", "unset arrow",
                  "set arrow from 1, graph 0 to 1, graph 1 nohead "
                  "lc '#555555' dt 2",
                  "set arrow from graph 0, first 1 to graph 1, first 1 nohead "
                  "lc '#555555' dt 2"]
        lines += data + ["plot " + ", \\\n  ".join(plots), "unset key"]
    lines.append("unset multiplot")
    return "\n".join(lines), width, height


# ---- Files -----------------------------------------------------------------

def draw(folder, name, script, width, height):
    for kind, terminal in (("svg", f"svg size {width},{height} dynamic font "
                                   f"'{FONT}' background '#ffffff'"),
                           ("png", f"pngcairo size {width},{height} font "
                                   f"'{FONT}'")):
        path = os.path.join(folder, f"{name}.{kind}")
        text = (f"set terminal {terminal}\nset encoding utf8\n"
                f"set output {quoted(path)}\n{script}\nset output\n")
        result = subprocess.run(["gnuplot"], input=text, text=True,
                                stdout=subprocess.PIPE, check=False,
                                stderr=subprocess.STDOUT)
        if result.returncode != 0:
            lines = result.stdout.strip().splitlines() or ["no reason given"]
            raise Missing(f"gnuplot could not draw {path}: {lines[-1]}")


def draw_all(results, folder):
    """Writes the plots, in place of all that were there, and returns their
    names, without the ending."""
    for name in R.KINDS + (POINTS,):
        for ending in (".svg", ".png"):
            if os.path.exists(os.path.join(folder, name + ending)):
                os.remove(os.path.join(folder, name + ending))
    if not shutil.which("gnuplot"):
        raise Missing("gnuplot is not installed (package gnuplot-nox)")
    kinds = [k for k in results.kinds() if results.means(k, "wall")]
    if not kinds:
        raise Missing("nothing to draw: no ratio to a peer")
    for kind in kinds:
        draw(folder, kind, *bars_script(results, kind))
    draw(folder, POINTS, *points_script(results, kinds))
    return kinds + [POINTS]
