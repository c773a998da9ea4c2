#!/usr/bin/env python3
"""Speech for the benchmarks, and the scores of what was heard of it.

    speech.py prepare RECORDINGS OUT    one WAV of 48 kHz out of the recordings, and where each sentence is
    speech.py score OUT RUNS.json…      scores the files that RUNS.json tell of; writes OUT/scores.json, and prints a table

Needs numpy, scipy and pesq.
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import correlate, resample_poly

# PESQ's wideband mode (ITU-T P.862.2).
SCORED_HZ = 16_000
PLAYED_HZ = 48_000
# Between two sentences, and before the first.
PAUSE = 0.5
# What is heard later than this after it was said is not looked for.
LATEST = 1.0
# Of the pause around it, this belongs to a sentence.
PADDING = 0.25
# Who listens notices a hole of so many seconds, in which it is this much quieter (dB) than what was said.
HOLE = 0.03
QUIETER = 20
# Speech is no farther below its sentence's loudness than this (dB).
SPEECH = 20
STEP = SCORED_HZ // 100


def prepare(recordings: Path, out: Path) -> None:
    """Joins the recordings, each as loud as the others, with pauses between them."""
    files = sorted(recordings.glob("*.wav"))
    if not files:
        sys.exit(f"no recordings in {recordings}")
    pause = np.zeros(int(PAUSE * PLAYED_HZ))
    parts, sentences, at = [pause], [], len(pause)
    for file in files:
        rate, samples = wavfile.read(file)
        sound = resample_poly(samples / 32_768, PLAYED_HZ, rate)
        sound *= 0.08 / np.sqrt(np.mean(sound**2))
        sound = np.clip(sound, -0.99, 0.99)
        sentences.append({"name": file.stem, "from": at, "to": at + len(sound)})
        parts += [sound, pause]
        at += len(sound) + len(pause)
    # Whole packets of 20 ms, so that the next round begins with one.
    speech = np.concatenate(parts)
    speech = speech[: len(speech) - len(speech) % 960]
    out.mkdir(parents=True, exist_ok=True)
    wavfile.write(out / "speech.wav", PLAYED_HZ, (speech * 32_767).astype(np.int16))
    (out / "sentences.json").write_text(json.dumps(sentences, indent=1))


def read(path: Path) -> np.ndarray:
    rate, samples = wavfile.read(path)
    if samples.ndim > 1:
        samples = samples[:, 0]
    return resample_poly(samples / 32_768, SCORED_HZ, rate)


def find(reference: np.ndarray, heard: np.ndarray, start: int, latest: float) -> int:
    """How many samples later than `start` the reference is heard."""
    window = heard[start : start + len(reference) + int(latest * SCORED_HZ)]
    if len(window) < len(reference):
        sys.exit("what was heard is shorter than what was said")
    return int(np.argmax(correlate(window, reference, mode="valid", method="fft")))


def loudness(sound: np.ndarray) -> np.ndarray:
    """In dB, of each 10 ms."""
    steps = sound[: len(sound) // STEP * STEP].reshape(-1, STEP)
    return 10 * np.log10(np.mean(steps**2, axis=1) + 1e-10)


def holes(reference: np.ndarray, heard: np.ndarray) -> int:
    """How often speech stops that goes on in the reference. Stretched sound is off by a few steps, so that a
    step is missing only if nothing around it is as loud."""
    said, came = loudness(reference), loudness(heard)
    around = np.stack([np.roll(came, shift) for shift in range(-2, 3)]).max(axis=0)
    speaks = said > 10 * np.log10(np.mean(reference**2) + 1e-10) - SPEECH
    missing = speaks & (around < said - QUIETER)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(int), [0]))))
    least = HOLE / (STEP / SCORED_HZ)
    return int(np.sum(edges[1::2] - edges[::2] >= least))


def score_run(told: tuple[Path, dict, int]) -> dict:
    """All sentences of one run, one by one."""
    from pesq import pesq

    out, run, rounds = told
    sentences = json.loads((out / "sentences.json").read_text())
    speech, heard = read(out / "speech.wav"), read(out / run["file"])
    scale = SCORED_HZ / PLAYED_HZ
    # What is before that is not scored.
    begun = run["begun_samples"] * scale
    scores, delays, stops = [], [], 0
    # A clock that runs fast says everything a little earlier.
    speed = run.get("card_hz", PLAYED_HZ) / PLAYED_HZ
    for number in range(rounds):
        for sentence in sentences:
            begin = int(sentence["from"] * scale - PADDING * SCORED_HZ)
            end = int(sentence["to"] * scale + PADDING * SCORED_HZ)
            reference = speech[begin:end]
            start = int((begun + number * len(speech) + begin) / speed)
            delay = find(reference, heard, start, LATEST)
            degraded = heard[start + delay : start + delay + len(reference)]
            scores.append(float(pesq(SCORED_HZ, reference, degraded, "wb")))
            delays.append(delay / SCORED_HZ * 1e3)
            stops += holes(reference, degraded)
    minutes = sum(s["to"] - s["from"] for s in sentences) * rounds / PLAYED_HZ / 60
    result = {
        "scenario": run["scenario"],
        "player": run["player"],
        "mos_mean": round(float(np.mean(scores)), 2),
        "mos_worst_tenth": round(float(np.percentile(scores, 10)), 2),
        "delay_ms_median": round(float(np.median(delays)), 1),
        "delay_ms_least": round(float(np.min(delays)), 1),
        "delay_ms_most": round(float(np.max(delays)), 1),
        "interruptions_per_minute": round(stops / minutes, 2),
        "sentences": len(scores),
    }
    for name in ("concealed", "stretched"):
        if (samples := run.get(f"{name}_samples")) is not None:
            result[f"{name}_percent"] = round(100 * samples / run["samples"], 2)
    for name in ("packets_with_copies", "kbps"):
        if name in run:
            result[name] = round(run[name], 3)
    return result


def score(out: Path, files: list[Path]) -> None:
    runs = []
    for file in files:
        told = json.loads(file.read_text())
        runs += [(out, run, told["rounds"]) for run in told["runs"]]
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(score_run, runs))
    (out / "scores.json").write_text(json.dumps(results, indent=1) + "\n")
    print("| link | player | MOS mean (worst tenth) | delay, ms (range) | made up, % | stretched, % | interruptions a minute |")
    print("|---|---|---|---|---|---|---|")
    for r in results:
        print(
            f"| {r['scenario']} | {r['player']} | {r['mos_mean']:.2f} ({r['mos_worst_tenth']:.2f})"
            f" | {r['delay_ms_median']:.0f} ({r['delay_ms_least']:.0f}–{r['delay_ms_most']:.0f})"
            f" | {r.get('concealed_percent', '')} | {r.get('stretched_percent', '')}"
            f" | {r['interruptions_per_minute']} |"
        )


def main() -> None:
    match sys.argv[1:]:
        case ["prepare", recordings, out]:
            prepare(Path(recordings), Path(out))
        case ["score", out, *files] if files:
            score(Path(out), [Path(file) for file in files])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
