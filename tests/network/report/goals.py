"""What a call on a bad network is to reach, and why it does not where it does not."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Goal:
    """Holds if the median of every one of `rows` is at `least` or at `most` so much."""
    text: str
    experiment: str
    rows: tuple
    measure: str
    unit: str
    least: float | None = None
    most: float | None = None
    why: str = ""  # it is missed, where it is


@dataclasses.dataclass(frozen=True)
class Beside:
    """Holds if our median is at most the rival's in the same runs, and at most `most`."""
    text: str
    case: str
    stretch: str
    measure: str
    unit: str
    rival: str | None = "chromium"
    most: float | None = None
    why: str = ""


PHASES = "1: 1000 kbit/s", "2: 2500 kbit/s", "3: 600 kbit/s", "4: 1000 kbit/s"
HALVES = tuple(f"{phase}, second half" for phase in PHASES)

GOALS = [
    Goal("RFC 8867 5.1: of the link used, second half of each phase", "variable-capacity", HALVES,
         "used_percent", "%", least=90),
    Goal("5.1: queue at p95", "variable-capacity", HALVES, "queue_p95_ms", "ms", most=100),
    Goal("5.1: longest gap in the fall to 600 kbit/s", "variable-capacity", (f"{PHASES[2]}, whole",),
         "longest_gap_ms", "ms", most=500),
    Goal("5.4: Jain's index of three calls", "fairness", ("the last minute",), "fairness", "", least=0.95),
    Goal("5.6: of its fair share beside CUBIC", "tcp-long", ("the last 100 s, call 1",), "fair_share_percent", "%",
         least=20),
    Goal("After an outage of 10 s: first fresh picture", "outage-10", ("the way's return",), "fresh_picture_ms", "ms",
         most=500),
    Goal("… pictures older than 0.5 s shown", "outage-10", ("the way's return",), "stale_pictures", "", most=0),
    Goal("After an outage of 60 s: first fresh picture", "outage-60", ("the way's return",), "fresh_picture_ms", "ms",
         most=3000),
    Goal("After a change of address: first fresh picture", "change-of-address", ("the way's return",),
         "fresh_picture_ms", "ms", most=3000),
    Goal("40 % lost for 5 s: longest gap in the second after it", "loss-40", ("the second after them",),
         "longest_gap_ms", "ms", most=1000),
    Goal("… beeps heard of the 5 seconds' sound", "loss-40", ("the 5 s",), "beeps", "", least=5),
    Goal("Start on 5 Mbit/s: height after 2 s", "start-5m", ("second 2",), "height_px", "px", least=720),
    Goal("Lip-sync at p95: 5 % lost", "loss-5", ("a minute",), "sync_p95_ms", "ms", most=45),
    Goal("… in 5.1's phases", "variable-capacity", HALVES, "sync_p95_ms", "ms", most=45),
]

BESIDE = [
    Beside("5 % lost, 50 ms each way: freezes in 20 s", "loss5", "20 s", "freezes", ""),
    Beside("… the longest gap", "loss5", "20 s", "longest_gap", "ms"),
    Beside("… age of pictures at p95", "loss5", "20 s", "age_p95", "ms"),
    Beside("After an outage of 10 s: first fresh picture", "outage10", "15 s from its return", "first_fresh", "ms",
           most=500),
    Beside("… pictures older than 0.5 s shown", "outage10", "15 s from its return", "stale", "", rival=None, most=0),
    Beside("40 % lost for 5 s: longest gap in the second after it", "loss40", "the second after them", "longest_gap",
           "ms", most=1000),
    Beside("5.1: age of pictures at p95, the fall to 600 kbit/s", "rfc8867-5.1", "600 kbit/s, whole", "age_p95", "ms"),
    Beside("… the longest gap in it", "rfc8867-5.1", "600 kbit/s, whole", "longest_gap", "ms", most=500),
]


def judge(experiments):
    """Of each goal whose experiment was run: its text, the bound, what was measured, whether it holds."""
    summaries = {one["name"]: {row["of"]: row["values"] for row in one["summary"]} for one in experiments}
    judged = []
    for goal in GOALS:
        rows = summaries.get(goal.experiment)
        if rows is None:
            continue
        values = [rows.get(row, {}).get(goal.measure) for row in goal.rows]
        judged.append(verdict(goal, bound_of(goal), [told(value) for value in values], all(
            value is not None and (goal.least is None or value["median"] >= goal.least)
            and (goal.most is None or value["median"] <= goal.most) for value in values)))
    return judged


def judge_beside(summary):
    """The same beside a rival; `summary` is that of the laboratory in real time."""
    judged = []
    for goal in BESIDE:
        peers = summary.get(goal.case, {}).get(goal.stretch, {})
        if "duet" not in peers:
            continue
        ours, theirs = (peers.get(peer, {}).get(goal.measure) for peer in ("duet", goal.rival))
        bounds = [bound for bound in (theirs and theirs[0], goal.most) if bound is not None]
        holds = ours is not None and all(ours[0] <= bound for bound in bounds)
        bound = " and ".join(filter(None, [goal.rival and f"at most {goal.rival.capitalize()}'s", bound_of(goal)]))
        judged.append({**verdict(goal, bound, [told_list(ours)], holds), "rival": told_list(theirs) if goal.rival else ""})
    return judged


def verdict(goal, bound, measured, holds):
    return {"goal": goal.text, "bound": bound, "measured": "; ".join(measured), "unit": goal.unit, "holds": holds,
            "why": "" if holds else goal.why}


def bound_of(goal):
    least, most = getattr(goal, "least", None), goal.most
    unit = f" {goal.unit}" if goal.unit else ""
    return f"at least {least:g}{unit}" if least is not None else f"at most {most:g}{unit}" if most is not None else ""


def told(value):
    """A median, and the range where there are several runs, as text."""
    return "nothing" if value is None else told_list([value["median"], value["min"], value["max"]])


def told_list(values):
    if not values:
        return "nothing"
    median, least, greatest = (f"{value:.4g}" if abs(value) < 10 else f"{value:.0f}" for value in values)
    return median if least == greatest else f"{median} ({least}–{greatest})"
