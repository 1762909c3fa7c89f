"""What Linux knows about a process: processor time, memory, whether it is paused."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_KIB_FIELDS = {"VmRSS", "VmHWM"}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children(pid: int) -> list[int]:
    """Processes that *pid* started and that live."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """``VmRSS`` (now) or ``VmHWM`` (the most it had) in MiB."""
    assert field in _KIB_FIELDS
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) / 1024
    raise RuntimeError(f"process {pid} has no {field}")


def forget_peak(pid: int) -> None:
    """Let ``VmHWM`` begin again at ``VmRSS``."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def run_timed(
    command: list[str], timeout: float, environment: Mapping[str, str] | None = None
) -> float:
    """Run a program to its end; seconds that passed."""
    began = time.perf_counter()
    finished = subprocess.run(
        command,
        cwd=Path(__file__).parents[1],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    took = time.perf_counter() - began
    if finished.returncode:
        raise RuntimeError(f"{command[0]}: {finished.stdout}{finished.stderr}")
    return took


def cpu_model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def own_memory() -> int:
    """Resident bytes of this process."""
    return int(memory_mib(os.getpid()) * (1 << 20))
