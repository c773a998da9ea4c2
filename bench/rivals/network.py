"""The network laboratory in real time: calls between processes over the emulated link, each peer with itself.

Its twin in virtual time is `tests/network`; this one is for what cannot run there: other people's programs, and the
kernel's TCP.
"""
import contextlib
import os
import statistics
import time

import psutil

from call import Call, cpu_seconds, delivered
from link import ADDRESSES, Link, PATH, parse_schedule
from transfer import Transfer

MAX_KBPS = 4000  # the cap on video in these cases
# A case: what it is; its schedule; which phases are told, and as what; the congestion control of the
# kernel's TCP, where that takes part.
CASES = {
    "loss5": ("5 % lost both ways, 50 ms each way", "0:delay=50 loss=5;5:;25:end", {"20 s": [1]}, None),
    "outage10": ("No way for 10 s, 50 ms each way", "0:delay=50;10:down;20:up;35:end",
                 {"15 s from its return": [2]}, None),
    "loss40": ("40 % lost both ways for 5 s", "0:delay=50;15:loss=40;20:loss=0;21:;30:end",
               {"the 5 s": [1], "the second after them": [2], "the next 9 s": [3]}, None),
    "rfc8867-5.1": ("RFC 8867, 5.1: one call on a link that changes",
                    f"0:{PATH} fwd.rate=1000;20:;40:fwd.rate=2500;50:;60:fwd.rate=600;70:;80:fwd.rate=1000;90:;100:end",
                    {"1000 kbit/s, second half": [1], "2500 kbit/s, second half": [3], "600 kbit/s, second half": [5],
                     "600 kbit/s, whole": [4, 5], "1000 kbit/s again, second half": [7]}, None),
    "start5": ("The start on 5 Mbit/s", "0:delay=50 queue=300 fwd.rate=5000;1:;2:;4:;8:end",
               {"second 1": [0], "second 2": [1], "seconds 3 and 4": [2], "seconds 5 to 8": [3]}, None),
    "tcp": ("RFC 8867, 5.6: beside a long transfer by the kernel's TCP, CUBIC",
            f"0:{PATH} fwd.rate=2000;15:;55:end", {"40 s": [1]}, "cubic"),
    "tcp-bbr": ("The same by BBR", f"0:{PATH} fwd.rate=2000;15:;55:end", {"40 s": [1]}, "bbr"),
}


def measure(sender, receiver, phases, max_kbps=None, control=None):
    """A call over a link that changes; one entry for each phase."""
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(Link())
        link.set(phases[0][1])
        placed = stack.enter_context(Call(sender, receiver, link.namespaces, max_kbps=max_kbps))
        flow = stack.enter_context(Transfer(link.namespaces, ADDRESSES[1], control)) if control else None
        first_frame_ms = placed.connect()
        start = placed.first_frame_at / 1000
        ours, busy = tree_cpu(placed), busy_cpu()
        snapshots, boundaries, bins = [], [], []
        for second, settings in phases:
            time.sleep(max(0, start + second - time.time()))
            answer = link.set("" if settings == "end" else settings)
            boundaries.append(time.time() * 1000)
            bins += [(at - time.monotonic() + time.time() - start, *values) for at, *values in answer["fwd"]["bins"]]
            snapshots.append({**answer, "tcp": flow and flow.received(), "stat": placed.receiver.ask("stat", "stat")})
        ours, busy = tree_cpu(placed) - ours, busy_cpu() - busy
        received = placed.receiver.ask("stop", "result")
    results = []
    for index, (second, settings) in enumerate(phases[:-1]):
        begin, end = boundaries[index:index + 2]
        before, after = snapshots[index:index + 2]
        phase = {"from_s": round(second, 1), "link": settings, **delivered(received["frames"], begin, end)}
        phase.update({key: after["fwd"][key] - before["fwd"][key] for key in ("lost", "overflowed")})
        phase["wire_kbps"] = round((after["fwd"]["bytes"] - before["fwd"]["bytes"]) * 8 / (end - begin))
        phase["queue_p95"] = after["fwd"]["queue_p95"]
        if flow:
            phase["call_kbps"] = round((after["fwd"]["udp_bytes"] - before["fwd"]["udp_bytes"]) * 8 / (end - begin))
            phase["tcp_kbps"] = round((after["tcp"] - before["tcp"]) * 8 / (end - begin))
        gained = {key: after["stat"][key] - before["stat"][key] for key in ("video_bytes", "concealed", "samples")
                  if after["stat"].get(key) is not None and before["stat"].get(key) is not None}
        if "video_bytes" in gained:
            phase["video_kbps"] = round(gained["video_bytes"] * 8 / (end - begin))
        if gained.get("samples"):
            phase["concealed_percent"] = round(100 * gained["concealed"] / gained["samples"], 1)
        results.append(phase)
    return {"sender": sender, "receiver": receiver, "first_frame_ms": first_frame_ms, "phases": results,
            "whole": delivered(received["frames"], boundaries[0], boundaries[-1]), "sizes": received["sizes"],
            "frames": received["frames"], "start_ms": start * 1000, "bins": bins, "heard": snapshots[-1]["stat"].get("heard"),
            "fec": snapshots[-1]["stat"].get("fec"),
            "others_cpu": round(max(0, busy - ours) / (phases[-1][0] or 1), 2), "load1": round(os.getloadavg()[0], 2)}


def tree_cpu(placed):
    return sum(cpu_seconds(peer.process.pid) for peer in placed.peers)


def busy_cpu():
    return sum(psutil.cpu_times()[:3])


def measure_case(peer, case):
    _, schedule, _, control = CASES[case]
    return measure(peer, peer, parse_schedule(schedule), MAX_KBPS, control)


def stretch(result, indices, schedule):
    """Phases of a call that are told as one: rates are means over time, the rest is the worst of them."""
    phases = [result["phases"][index] for index in indices]
    ends = [second for second, _ in parse_schedule(schedule)]
    lengths = [ends[index + 1] - ends[index] for index in indices]
    told = {}
    for key in ("fps", "wire_kbps", "video_kbps", "call_kbps", "tcp_kbps", "concealed_percent"):
        if all(phase.get(key) is not None for phase in phases):
            told[key] = round(sum(phase[key] * length for phase, length in zip(phases, lengths)) / sum(lengths), 1)
    for key in ("freezes", "stale", "unreadable"):
        told[key] = sum(phase[key] for phase in phases)
    for key in ("age_p50", "age_p95", "age_max", "longest_gap", "queue_p95", "height"):
        values = [phase[key] for phase in phases if phase.get(key) is not None]
        told[key] = max(values) if values else None
    told["first_fresh"] = phases[0]["first_fresh"]
    return told


def summary(runs):
    """{case: {peer: [results]}} as {case: {stretch: {peer: {measure: [median, least, greatest]}}}}."""
    told = {}
    for case, peers in runs.items():
        _, schedule, stretches, _ = CASES[case]
        for name, indices in stretches.items():
            for peer, results in peers.items():
                good = [stretch(result, indices, schedule) for result in results if "error" not in result]
                values = {key: [one[key] for one in good if one.get(key) is not None] for key in (good[0] if good else ())}
                told.setdefault(case, {}).setdefault(name, {})[peer] = {
                    key: [round(statistics.median(all_of), 1), min(all_of), max(all_of)]
                    for key, all_of in values.items() if all_of}
    return told
