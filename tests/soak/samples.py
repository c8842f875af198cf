"""What a server process holds: memory, files, sockets, threads, tasks, the write-ahead log."""

import os
import re
import statistics
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One look at a server; `at` is seconds since the start, memory in KiB, `wal_bytes` the write-ahead log's."""

    at: float
    rss_kib: int
    worker_rss_kib: int
    sockets: int
    files: int
    threads: int
    tasks: int
    wal_bytes: int


def look(pid: int, base_url: str, data_dir: Path, at: float) -> Sample:
    """Looks at a server once; the look itself is one socket and one task."""
    with urllib.request.urlopen(f"{base_url}/metrics", timeout=30) as reply:
        found = re.search(r"^tessera_tasks (\d+)", reply.read().decode(), re.MULTILINE)
    assert found is not None
    links = _links(pid)
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(
        at=at,
        rss_kib=_status(pid, "VmRSS"),
        worker_rss_kib=sum(_status(child, "VmRSS") for child in _children(pid)),
        sockets=sockets,
        files=len(links) - sockets,
        threads=_status(pid, "Threads"),
        tasks=int(found[1]),
        wal_bytes=sum(path.stat().st_size for path in data_dir.rglob("*-wal")),
    )


def slope_kib_a_minute(samples: Sequence[Sample]) -> float:
    """The growth of memory by least squares, in KiB a minute."""
    fitted = statistics.linear_regression([sample.at / 60 for sample in samples], [s.rss_kib for s in samples])
    return fitted.slope


def _links(pid: int) -> list[str]:
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(path))  # noqa: PTH115 - a socket is no path
        except FileNotFoundError:
            continue  # closed in this moment
    return links


def _status(pid: int, name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except FileNotFoundError:
        return 0  # a worker that ended in this moment
    return int(found[1]) if found else 0


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in tasks for child in path.read_text().split()]
