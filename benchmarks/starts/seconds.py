"""Seconds from the command to an adapted model, in processes of their own.

    python -m benchmarks.starts.seconds --store S [--repeats N] [--small] [--out FILE]

A folder of 40 drawings, 8 characters of an evaluation alphabet with 5 each, is asked about
(`headstart starts`) and fine-tuned on (`headstart finetune`, 40 more drawings predicted, the model
kept). The store is copied first, so that no run of one repetition is known to the next. Beside the
clock's seconds, which other work on the machine stretches, stand the processor's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import metastore
from benchmarks.realdata import realdata
from benchmarks.results import Report, Spread
from benchmarks.starts.alphabets import FILE

REPOSITORY = Path(__file__).parents[2]
CLASSES, EACH = 8, 5
ASKED = 10.0
"""Processor seconds that advice on 40 images may take."""
_COMMAND = (sys.executable, "-c", "from cli import main; main()")


def drawings(folder: Path, alphabet: int = 0) -> tuple[Path, Path]:
    """Write the support set and the query as images; return both folders."""
    with np.load(realdata(FILE), allow_pickle=False) as file:
        held_out = file["alphabet_split"] != "background"
        of_one = file["alphabet"] == np.flatnonzero(held_out)[alphabet]
        images = file["images"][of_one][:CLASSES]
    for part, rows in (("support", slice(0, EACH)), ("query", slice(EACH, 2 * EACH))):
        for number, character in enumerate(images):
            place = folder / part / f"character {number}"
            place.mkdir(parents=True)
            for i, image in enumerate(character[rows]):
                Image.fromarray(image).save(place / f"{i}.png")
    return folder / "support", folder / "query"


def timed(arguments: list[str]) -> tuple[float, float]:
    """Return the clock's and the processor's seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*_COMMAND, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    clock, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} failed: {done.stderr[-2000:]}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return clock, spent


def main() -> None:
    """Run both commands in turn, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="once")
    parser.add_argument("--out", type=Path, help="the result file")
    told = parser.parse_args()
    n_starts = sum(
        one.kind == "images" for one in metastore.open(told.store, create=False).starts()
    )
    report = Report(
        "starts.seconds",
        told.small,
        {"repeats": told.repeats, "images": CLASSES * EACH, "image starts": n_starts},
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(1 if told.small else told.repeats):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            support, query = drawings(place)
            shutil.copytree(told.store, place / "store")
            store = ["--store", str(place / "store")]
            out = ["--query", str(query), "--out", str(place / "model")]
            for name, arguments in {
                "the command alone": ["--help"],
                "headstart starts": ["starts", str(support), *store],
                "headstart finetune": ["finetune", str(support), *out, *store],
            }.items():
                found.setdefault(name, []).append(timed(arguments))
                print(name, "clock {:.1f} s, processor {:.1f} s".format(*found[name][-1]))
    for name, pairs in found.items():
        clock, spent = (Spread.of(values) for values in zip(*pairs, strict=True))
        report.results[name] = {"clock_s": clock.to_dict(), "processor_s": spent.to_dict()}
    spent = Spread.of(pair[1] for pair in found["headstart starts"])
    report.verdict(
        f"advice on {CLASSES * EACH} images against {n_starts} starts takes less than {ASKED:.0f} "
        f"processor seconds: {spent}",
        spent.median < ASKED,
    )
    report.write(told.out)


if __name__ == "__main__":
    main()
