"""Makes one page, and a JSON beside it, out of what the laboratories measured. `script/network-report` runs it."""
import argparse
import json
import os
import pathlib
import platform
import re

import goals
import jinja2
import markupsafe
import plots

UNITS = {"percent": "%", "ms": "ms", "kbps": "kbit/s", "px": "px"}
NAMES = {"tcp": "TCP"}
ORDER = ("fresh_picture_ms", "first_picture_ms", "stale_pictures", "connected", "offers", "kbps", "used_percent",
         "fairness", "fair_share_percent", "loss_percent", "queue_p50_ms", "queue_p95_ms", "pictures", "age_p50_ms", "age_p95_ms",
         "age_max_ms", "freezes", "longest_gap_ms", "sync_p95_ms", "beeps", "height_px")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("laboratory", help="the JSON of the laboratory in virtual time")
    parser.add_argument("--beside", metavar="FILE", help="the JSON of the laboratory in real time")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder to write into")
    parser.add_argument("--note", default="", help="what else a reader should know")
    options = parser.parse_args()
    measured = json.loads(pathlib.Path(options.laboratory).read_text())
    beside = json.loads(pathlib.Path(options.beside).read_text()) if options.beside else None

    experiments = measured["experiments"]
    judged = goals.judge(experiments)
    judged_beside = goals.judge_beside(beside["summary"]) if beside else []
    about = f"{platform.machine()}, {os.cpu_count()} processors. Jitter of the links: up to {measured['jitter_ms']} ms. "
    told = {
        "about": about + options.note, "judged": judged, "judged_beside": judged_beside,
        "runs": max(len(one["runs"]) for one in experiments),
        "experiments": [tell_experiment(one, options.out) for one in experiments],
        "cases": [tell_case(name, beside, options.out) for name in beside["summary"]] if beside else [],
        "beside_about": about_beside(beside["runs"]) if beside else "",
    }
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent), autoescape=True,
                                     trim_blocks=True, undefined=jinja2.StrictUndefined)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.html").write_text(environment.get_template("page.html").render(told))
    (options.out / "report.json").write_text(json.dumps(
        {"goals": judged, "goals_beside": judged_beside, "laboratory": measured, "beside": beside}))
    (options.out / "headline.md").write_text(headline(judged) + (headline(judged_beside) if beside else ""))
    print((options.out / "headline.md").read_text())
    print(options.out / "report.html")


def tell_experiment(one, out):
    columns = {name for row in one["summary"] for name in row["values"]}
    columns = sorted(columns, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    rows = [{"of": row["of"], "cells": [cell(row["values"].get(name)) for name in columns]} for row in one["summary"]]
    # Of some only numbers are told.
    flows = one["runs"][0]["series"]["flows"]
    return {"name": one["name"], "heading": one["title"], "section": one["section"], "rows": rows,
            "columns": [label(name) for name in columns],
            "plot": drawn(out, one["name"], plots.laboratory(one)) if flows else ""}


def tell_case(name, beside, out):
    summary, runs = beside["summary"][name], beside["runs"][name]
    rows = [(of, peer, values) for of, peers in summary.items() for peer, values in peers.items()]
    columns = list(dict.fromkeys(key for _, _, values in rows for key in values))
    told = [{"of": of, "peer": peer, "cells": [cell_of(values.get(key)) for key in columns]} for of, peer, values in rows]
    remarks = [f"{peer}, run {number}: {result['error']}" for peer, results in runs.items()
               for number, result in enumerate(results, 1) if "error" in result]
    return {"name": name, "heading": beside["titles"][name], "rows": told, "remarks": remarks,
            "columns": [label(key) for key in columns],
            "plot": drawn(out, f"beside-{name}", plots.beside(name, beside["schedules"][name], runs))}


def about_beside(runs):
    results = [result for peers in runs.values() for all_of in peers.values() for result in all_of]
    loads = sorted(result["others_cpu"] for result in results if "error" not in result)
    counts = sorted({len(all_of) for peers in runs.values() for all_of in peers.values()})
    return (f"{' to '.join(str(count) for count in counts[:1] + counts[1:][-1:])} interleaved runs of each; meanwhile others used "
            f"{loads[len(loads) // 2]:.1f} of {os.cpu_count()} processors (median; {loads[0]:.1f} to {loads[-1]:.1f})."
            if loads else "No run got through.")


def drawn(out, name, svg):
    """Keeps a plot as a file, too, and gives it for the page."""
    (out / "plots").mkdir(parents=True, exist_ok=True)
    (out / "plots" / f"{name}.svg").write_text(svg.replace("<svg ", '<svg style="background: #fff" ', 1))
    return markupsafe.Markup(svg)


def label(name):
    words = name.split("_")
    unit = UNITS.get(words[-1])
    words = [*words[:-1], unit] if unit else words
    return " ".join(NAMES.get(word, word) for word in words)


def cell(value):
    return value and cell_of([value["median"], value["min"], value["max"]])


def cell_of(values):
    """The median, and the range in words or nothing."""
    if not values:
        return None
    median, _, least_to_greatest = goals.told_list(values).partition(" ")
    return median, least_to_greatest


def headline(judged):
    """The goals as a table in Markdown."""
    if not judged:
        return ""
    rival = "rival" in judged[0]
    titles = ["goal", "bound", "measured", *(["Chromium"] if rival else []), "held?"]
    rows = [[row["goal"], row["bound"], f"{row['measured']} {row['unit']}".strip(),
             *([f"{row['rival']} {row['unit']}".strip()] if rival else []),
             "yes" if row["holds"] else f"**missed**{': ' + row['why'] if row['why'] else ''}"] for row in judged]
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"\s+", " ", text) for text in line) + " |" for line in lines) + "\n\n"


if __name__ == "__main__":
    main()
