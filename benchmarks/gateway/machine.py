"""What the operating system knows of a process: its core, its CPU time with all threads and children, its memory."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cores:
    """The candidate has a core of its own; load and provider share another."""

    candidate: int
    load: int


def choose_cores() -> Cores:
    """The first and the last core this process may use. Ends the program where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("The benchmark needs two cores: one for the candidate, one for load and provider.")
    return Cores(candidate=allowed[0], load=allowed[-1])


def pinned(core: int, command: Sequence[str | Path]) -> list[str]:
    """The command, kept on a core with all its threads and children."""
    return ["taskset", "-c", str(core), *map(str, command)]


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(_children(one))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time a process and its descendants have used, ended children included, in seconds."""
    ticks = 0
    for one in tree(pid):
        for fields in _stat(one):
            ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / _TICKS


def memory_peak_mib(pid: int) -> float:
    """The largest resident memory since `forget_peak`, each process at its own peak, in MiB."""
    return sum(_status_kib(one, "VmHWM:") for one in tree(pid)) / 1024


def memory_mib(pid: int) -> float:
    """Resident memory now, in MiB."""
    return sum(_status_kib(one, "VmRSS:") for one in tree(pid)) / 1024


def forget_peak(pid: int) -> None:
    """Starts `memory_peak_mib` anew from what is resident now."""
    for one in tree(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")


def core_seconds(core: int) -> tuple[float, float]:
    """What a core has done since the machine started: seconds busy, seconds in all."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            ticks = [int(field) for field in line.split()[1:9]]
            return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS, sum(ticks) / _TICKS
    raise SystemExit(f"There is no core {core}.")


@contextmanager
def priority(nice: int) -> Iterator[None]:
    """Runs the block, and all it starts, at a priority above (negative, for root) what else the machine does.

    Linux weighs whole sessions against each other where autogroups are on, so that the session's weight is set too.
    """
    if nice == 0:
        yield
        return
    os.nice(nice)
    group = Path("/proc/self/autogroup")
    before = group.read_text().rpartition(" ")[2].strip() if group.exists() else None
    if before is not None:
        group.write_text(str(nice))
    try:
        yield
    finally:
        if before is not None:
            group.write_text(before)


def load_average() -> list[float]:
    """Over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def describe() -> dict[str, str]:
    """What kind of machine this is, without its name."""
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return {
        "class": f"{os.cpu_count()}-core virtual machine" if _is_virtual() else f"{os.cpu_count()}-core machine",
        "processor": ", ".join(sorted(models)) or platform.machine(),
        "system": f"{release}, Linux {platform.release()}",
        "python": sys.version.split()[0],
    }


def commit() -> str:
    """The commit that is measured; says so when tracked files differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if head.returncode:
        return "unknown"
    changed = subprocess.run(["git", "status", "--porcelain", "-uno", "src"], cwd=ROOT, capture_output=True, text=True)
    return head.stdout.strip() + (" with uncommitted changes" if changed.stdout.strip() else "")


def _is_virtual() -> bool:
    return " hypervisor" in Path("/proc/cpuinfo").read_text()


def _children(pid: int) -> Iterator[int]:
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return


def _stat(pid: int) -> Iterator[list[str]]:
    try:
        yield Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return


def _status_kib(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
