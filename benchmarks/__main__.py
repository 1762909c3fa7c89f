"""Measure django_electric: each figure beside its floor from the same run.

Without a scenario all of them run, in the order in which they are named here. A result that is wrong ends
the run: a figure that comes of it would be worth nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import idle, latency, moves, replication, routing, serving, snapshot, waiting
from benchmarks.figures import Figure, Wrong
from benchmarks.report import page, text_table
from benchmarks.run import Run

SCENARIOS: Mapping[str, Callable[[Run], list[Figure]]] = {
    serving.SCENARIO: serving.measure,
    waiting.SCENARIO: waiting.measure,
    snapshot.SCENARIO: snapshot.measure,
    replication.SCENARIO: replication.measure,
    routing.SCENARIO: routing.measure,
    moves.SCENARIO: moves.measure,
    latency.SCENARIO: latency.measure,
    idle.SCENARIO: idle.measure,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(SCENARIOS)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"one or more of {names}")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one run: shows that it works"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the page docs/benchmarks.md anew"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.scenario) - set(SCENARIOS))
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {names}")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure and report; 0 if all results were right, whatever the figures."""
    if not sys.platform.startswith("linux"):
        print("The benchmarks read /proc: they need Linux.", file=sys.stderr)
        return 2
    options = parse(arguments)
    # A run that is told to stop takes its servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [name for name in SCENARIOS if name in (options.scenario or SCENARIOS)]
    figures: list[Figure] = []
    failed = []
    began = time.monotonic()
    with Run(quick=options.quick) as run:
        for name in names:
            try:
                found = SCENARIOS[name](run)
            except Exception as error:  # what the others found is worth its minutes
                kind = "WRONG RESULT" if isinstance(error, Wrong) else "FAILED"
                print(f"{kind} in {name}: {error}", file=sys.stderr)
                failed.append(name)
                continue
            for figure in found:
                run.show(figure)
            figures += found
        machine = run.machine()
    seconds = time.monotonic() - began
    print(text_table(figures))
    print(f"\n{machine}\n{seconds:.0f} s")
    if failed:
        print(f"No figures, or wrong ones, of {', '.join(failed)}.", file=sys.stderr)
        return 1
    if options.write:
        command = " ".join(["python -m benchmarks", *arguments])
        text = page(
            figures,
            command,
            machine,
            {n: sys.modules[SCENARIOS[n].__module__].__doc__ or "" for n in names},
        )
        options.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
