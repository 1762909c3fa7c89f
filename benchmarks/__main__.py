"""``python -m benchmarks [SCENARIO …] [--quick] [--write FILE]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping

from benchmarks import replication, snapshot
from benchmarks.figures import Figure, Wrong
from benchmarks.report import text_table
from benchmarks.run import Run

SCENARIOS: Mapping[str, Callable[[Run], list[Figure]]] = {
    "snapshot": snapshot.measure,
    "replication": replication.measure,
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    figures: list[Figure] = []
    with Run(quick=options.quick) as run:
        for name in options.scenario or SCENARIOS:
            figures += SCENARIOS[name](run)
    print(text_table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
