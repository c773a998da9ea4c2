"""Speech over the emulated link, scored: what a receiver plays of what a sender says, a picture beside it as in any call.

The speech, and what scores it, are those of `bench/speech`, which does the same in virtual time for our jitter buffer.
"""
import json
import os
import statistics
import subprocess
import time
import wave

from call import HERE, WORK, Call, CallFailed, Unavailable
from link import Link
from network import MAX_KBPS, busy_cpu, tree_cpu

FOLDER = WORK / "speech"
WARM_UP_S = 6  # from the first picture to the first word
SETTLE_S = 2  # the link's losses set in so long before it
TAIL_S = 1.5  # what is under way when the speech ends is heard too
CASES = {  # what it is; the link's settings beside 50 ms each way
    "clean": ("clean", ""),
    "loss5": ("5 % lost", "loss=5"),
    "loss40": ("40 % lost", "loss=40"),
    "bursts": ("8 % lost in bursts of 60 ms", "loss=8 burst=60"),
    "jitter30": ("jitter of up to 30 ms", "jitter=30"),
    "jitter100": ("jitter of up to 100 ms", "jitter=100"),
}
# What makes a call one that was not asked for:
LOSES_TIME_MS = 100  # the receiver handed out so much more or less sound than time passed
RELAY_LATE_MS = 10  # at p99: the machine was too busy for the relay, so that the link was another than the case's


def check():
    """That there is something to say, and somebody to judge it."""
    if not (FOLDER / "venv/bin/python").exists() or not (FOLDER / "speech.wav").exists():
        raise Unavailable(f"{FOLDER} does not hold the speech; run bench/speech/setup.sh {FOLDER}")


def prepare(count):
    """The first sentences of the speech as raw samples, as many as are to be said; and where each of them is."""
    sentences = json.loads((FOLDER / "sentences.json").read_text())[:count]
    with wave.open(str(FOLDER / "speech.wav")) as speech:
        pause = sentences[0]["from"]  # there is one after each, too
        samples = speech.readframes(sentences[-1]["to"] + pause)
    said = FOLDER / "said.s16"
    said.write_bytes(samples)
    return said, sentences, len(samples) / 2 / 48_000


def measure(sender, receiver, case, count, keep):
    """One call in which the speech is said once; `keep` names the file of what was heard of it."""
    said, sentences, length = prepare(count)
    heard = FOLDER / "heard" / f"{keep}.s16"
    heard.parent.mkdir(exist_ok=True)
    heard.unlink(missing_ok=True)
    with Link() as link:
        link.set("delay=50")
        with Call(sender, receiver, link.namespaces, max_kbps=MAX_KBPS, speech=said, heard=heard) as call:
            first_frame_ms = call.connect()
            time.sleep(WARM_UP_S - SETTLE_S)
            link.set(CASES[case][1])
            time.sleep(SETTLE_S)
            ours, busy = tree_cpu(call), busy_cpu()
            before = [peer.ask("stat", "stat") for peer in call.peers]
            link.set("")
            begun = time.monotonic()
            call.sender.send({"cmd": "speak"})
            time.sleep(length)
            after = [peer.ask("stat", "stat") for peer in call.peers]
            took = time.monotonic() - begun
            relay_late_ms = link.set("")["fwd"]["late_p99"]
            ours, busy = tree_cpu(call) - ours, busy_cpu() - busy
            time.sleep(TAIL_S)
            results = [peer.ask("stop", "result") for peer in call.peers]
    told = {"said": results[0].get("said"), **{key: results[1].get(key) for key in ("sound", "sound_hz", "frames")}}
    for peer, key in ((sender, "said"), (receiver, "sound")):
        if not told[key]:
            raise CallFailed(f"{peer} does not tell its '{key}': it cannot take part")
    scored = score({**told, "heard": str(heard), "speech": str(FOLDER / "speech.wav"), "sentences": sentences})
    sent, got = ({key: late[key] - early[key] for key in ("audio_bytes", "concealed", "samples")
                  if late.get(key) is not None and early.get(key) is not None} for early, late in zip(before, after))
    every = {key: [one[key] for one in scored] for key in scored[0]}
    offsets = [one["delay_ms"] - one["picture_ms"] for one in scored if one["picture_ms"] is not None]
    spoken_s = sum(sentence["to"] - sentence["from"] for sentence in sentences) / 48_000
    return {
        "sender": sender, "receiver": receiver, "case": case, "first_frame_ms": first_frame_ms, "sentences": scored,
        "mos": round(statistics.mean(every["mos"]), 2), "mos_worst": round(min(every["mos"]), 2),
        "delay_ms": round(statistics.median(every["delay_ms"])),
        "interruptions": round(sum(every["holes"]) / spoken_s * 60, 1),
        "ahead_of_picture_ms": round(-statistics.median(offsets)) if offsets else None,
        "audio_kbps": round(sent["audio_bytes"] * 8 / took / 1000, 1) if "audio_bytes" in sent else None,
        "concealed_percent": round(100 * got["concealed"] / got["samples"], 1) if got.get("samples") else None,
        "missing_ms": missing_ms(told), "relay_late_ms": relay_late_ms, "stats_before": before, "stats": after,
        "others_cpu": round(max(0, busy - ours) / took, 2), "load1": round(os.getloadavg()[0], 2),
    }


def score(told):
    """Each sentence by `score.py`, in the environment that has PESQ."""
    done = subprocess.run([FOLDER / "venv/bin/python", "-B", HERE / "score.py"], input=json.dumps(told), text=True,
                          capture_output=True)
    if done.returncode:
        raise CallFailed(f"score.py: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def missing_ms(told):
    """How much less sound came out of the receiver than time passed, from its first block to its last."""
    blocks = told["sound"]
    samples = sum(count for _, count in blocks[:-1])
    return round(blocks[-1][0] - blocks[0][0] - samples / told["sound_hz"] * 1000)


def violations(result):
    """The ways in which a call was not the one that was asked for: it says less of its peers than of the machine."""
    if "error" in result:
        return [result["error"]]
    found = []
    if abs(result["missing_ms"]) > LOSES_TIME_MS:
        found.append(f"{result['missing_ms']} ms between time and sound")
    if result["relay_late_ms"] > RELAY_LATE_MS:
        found.append(f"the relay was {result['relay_late_ms']} ms late at p99")
    return found
