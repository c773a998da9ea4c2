"""Plots as SVG: what a link could carry, what each took of it, how long things waited, how old pictures were."""
import io
import math

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

COLOURS = "#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#0b7285", "#868e96"
SMOOTHED_S = 0.5
matplotlib.rcParams.update({
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e9ecef", "axes.edgecolor": "#868e96",
    "axes.titlesize": 9, "axes.titlelocation": "left", "legend.frameon": False, "lines.linewidth": 1.2,
    "path.simplify_threshold": 0.5,
})


def laboratory(experiment):
    """The first run of an experiment in virtual time."""
    series = experiment["runs"][0]["series"]
    step = series["step_ms"] / 1000
    backward = any(flow["back"] for flow in series["flows"])
    titles = ["arrives, kbit/s", *(["arrives the other way, kbit/s"] if backward else []), "waits in the queue, ms",
              "age of the pictures shown, ms"]
    axes = begin(experiment["name"], titles)
    for back in (False, True)[:1 + backward]:
        capacity = series["capacity_kbps"][back]
        draw_capacity(axes[back], [at * step for at in range(len(capacity))], capacity)
    for number, flow in enumerate(series["flows"]):
        colour = COLOURS[number % len(COLOURS)]
        seconds = [at * step for at in range(len(flow["kbps"]))]
        axes[flow["back"]].plot(seconds, smooth(flow["kbps"], step), color=colour, label=flow["name"])
        axes[-2].plot(seconds, smooth(flow["queue_ms"], step), color=colour, linewidth=0.8)
        axes[-1].plot(seconds, numbers(flow["age_ms"]), color=colour, linewidth=0.8, marker=".", markersize=1)
    for axis in axes[:1 + backward]:
        legend(axis)
    return finish(axes, seconds[-1] + step)


def beside(case, schedule, peers):
    """The first good run of each peer in real time; {peer: [results]}."""
    axes = begin(case, ["arrives of all, kbit/s", "waits in the queue, ms", "age of the pictures shown, ms"])
    capacity = capacity_of(schedule)
    end = capacity[-1][0]
    draw_capacity(axes[0], *zip(*capacity))
    for colour, (peer, results) in zip(COLOURS, peers.items()):
        good = [result for result in results if "error" not in result]
        if not good:
            continue
        bins = {round(at * 10): values for at, *values in good[0]["bins"]}
        steps = range(math.floor(end * 10))
        seconds = [at / 10 for at in steps]
        kbps = [bins[at][0] * 8 / 100 if at in bins else 0 for at in steps]
        axes[0].plot(seconds, smooth(kbps, 0.1), color=colour, label=peer)
        axes[1].plot(seconds, smooth([bins[at][1] if at in bins else None for at in steps], 0.1), color=colour,
                     linewidth=0.8)
        frames = [(frame[0] / 1000 - good[0]["start_ms"] / 1000, frame[1]) for frame in good[0]["frames"]]
        shown = with_gaps([frame for frame in frames if 0 <= frame[0] <= end and frame[1] >= 0])
        axes[2].plot(*zip(*shown), color=colour, linewidth=0.8, marker=".", markersize=1)
    legend(axes[0])
    return finish(axes, end)


def begin(name, titles):
    matplotlib.rcParams["svg.hashsalt"] = name
    _, axes = pyplot.subplots(len(titles), 1, sharex=True, figsize=(9, 1.6 * len(titles) + 0.4), layout="constrained")
    for axis, title in zip(axes, titles):
        axis.set_title(title)
    return list(axes)


def finish(axes, end):
    for axis in axes:
        axis.set_ylim(bottom=0)
    axes[-1].set_xlim(0, end)
    axes[-1].set_xlabel("seconds")
    out = io.StringIO()
    axes[0].figure.savefig(out, format="svg", metadata={"Date": None})
    pyplot.close(axes[0].figure)
    text = out.getvalue()
    return text[text.index("<svg"):]


def legend(axis):
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=8, fontsize=8, borderaxespad=0)


def draw_capacity(axis, seconds, kbps):
    if any(value for value in kbps):
        axis.plot(seconds, numbers(kbps), color="#212529", linewidth=1, drawstyle="steps-post", label="the link")


def capacity_of(schedule):
    """[(second, kbit/s), …] of the media's direction, out of a schedule's settings."""
    steps, rate = [], None
    for part in schedule.split(";"):
        second, _, settings = part.partition(":")
        for word in settings.split():
            key, _, value = word.partition("=")
            if key in ("rate", "fwd.rate"):
                rate = float(value) or None
        steps.append((float(second), rate))
    return steps


def numbers(values):
    return [math.nan if value is None else value for value in values]


def smooth(values, step):
    """A moving mean of what is there."""
    reach = round(SMOOTHED_S / step / 2)
    means = []
    for at in range(len(values)):
        near = [value for value in values[max(0, at - reach):at + reach + 1] if value is not None]
        means.append(sum(near) / len(near) if near and values[at] is not None else math.nan)
    return means


def with_gaps(points, longest=0.2):
    """Breaks the line where nothing came for long."""
    broken = []
    for point in points:
        if broken and point[0] - broken[-1][0] > longest:
            broken.append((point[0], math.nan))
        broken.append(point)
    return broken or [(0, math.nan)]
