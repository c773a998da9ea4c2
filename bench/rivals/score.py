"""score.py < CALL.json: scores each sentence of a call; run by `speech.py` in the environment that has PESQ.

`said` holds [T, N]: at the epoch time T, in ms, the N-th sample of the speech was handed to the sender's API; `sound` holds
[T, SAMPLES]: at T the receiver's application was handed so many. Both are noisy by a block, so that medians are taken.
"""
import json
import statistics
import sys
from pathlib import Path

import numpy as np
from pesq import pesq
from scipy.signal import resample_poly

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "speech"))
from speech import PADDING, PLAYED_HZ, SCORED_HZ, find, holes, read  # noqa: E402

LATEST = 2.0  # s: what is heard later than this is not looked for


def epoch_of(crossings, hz, begin, end):
    """The epoch time of sample `begin`, by all crossings from there to `end`; [T, N] as above."""
    within = [(t, n) for t, n in crossings if begin <= n < end]
    return statistics.median(t - (n - begin) / hz * 1000 for t, n in within or crossings)


def main():
    call = json.load(sys.stdin)
    hz = call["sound_hz"]
    heard = resample_poly(np.fromfile(call["heard"], "<i2") / 32_768, SCORED_HZ, hz)
    counts = np.cumsum([0] + [count for _, count in call["sound"]])
    played = [(t, int(n)) for (t, _), n in zip(call["sound"], counts)]
    speech = read(Path(call["speech"]))
    results = []
    for sentence in call["sentences"]:
        begin, end = (int(sentence[edge] + sign * PADDING * PLAYED_HZ) for edge, sign in (("from", -1), ("to", 1)))
        reference = speech[begin * SCORED_HZ // PLAYED_HZ:end * SCORED_HZ // PLAYED_HZ]
        said_at = epoch_of(call["said"], PLAYED_HZ, begin, end)
        # where in what was heard it is looked for: from where sound was that came out when it was said
        start = next((n for t, n in played if t >= said_at), int(counts[-1])) * SCORED_HZ // hz
        at = start + find(reference, heard, start, LATEST)
        degraded = heard[at:at + len(reference)]
        first, last = at * hz / SCORED_HZ, (at + len(reference)) * hz / SCORED_HZ
        heard_at = epoch_of(played, hz, first, last)
        ages = [age for t, age, *_ in call["frames"] if heard_at <= t < heard_at + len(reference) / SCORED_HZ * 1000]
        results.append({
            "name": sentence["name"], "mos": float(pesq(SCORED_HZ, reference, degraded, "wb")),
            "delay_ms": heard_at - said_at, "holes": holes(reference, degraded),
            "picture_ms": statistics.median(ages) if ages else None,
        })
    json.dump(results, sys.stdout)


main()
