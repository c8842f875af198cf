"""Load on its own core: wrk for bodies and paced streams, `client.py` for what wrk cannot do."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway.machine import ROOT, Cores, pinned
from benchmarks.gateway.servers import Server

_SCRIPT = Path(__file__).parent / "wrk.lua"
_GRACE_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """Where load runs and where the bodies to send are kept."""

    cores: Cores
    folder: Path

    def wrk(
        self, server: Server, body: bytes, *, kind: str, connections: int, seconds: float, stream: bool = False
    ) -> dict[str, Any]:
        """A closed loop of so many connections for so long; replies, latency and errors as `wrk.lua` reports them."""
        command: list[str | Path] = [
            "wrk",
            "-t",
            "1",
            "-c",
            str(connections),
            "-d",
            f"{max(1, round(seconds))}s",
            "--latency",
        ]
        command += ["--timeout", f"{_GRACE_SECONDS}s", "-s", _SCRIPT, server.url(kind), "--", self._file(body)]
        command += [server.key or "none", "stream" if stream else "whole"]
        found = self._run(command, seconds)
        if found["status"]:
            raise SystemExit(f"{server.name} answered {found['status']} calls with an error.")
        return found

    def client(self, server: Server, body: bytes, verb: str, *rest: object, kind: str = "plain") -> dict[str, Any]:
        """One run of `client.py`."""
        return self._run(self._client_command(server, body, verb, *rest, kind=kind), _GRACE_SECONDS * 5)

    def clients(
        self, server: Server, first: tuple[bytes, str, object], second: tuple[bytes, str, object, object]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Two runs of `client.py` at the same time."""
        commands = [self._client_command(server, *one) for one in (first, second)]
        processes = [
            subprocess.Popen(pinned(self.cores.load, command), stdout=subprocess.PIPE, cwd=ROOT) for command in commands
        ]
        outputs = [process.communicate(timeout=_GRACE_SECONDS * 2)[0] for process in processes]
        if any(process.returncode for process in processes):
            raise SystemExit(f"The load on {server.name} failed.")
        one, other = (json.loads(output) for output in outputs)
        return one, other

    def _client_command(self, server: Server, body: bytes, verb: str, *rest: object, kind: str = "plain") -> list[str]:
        words = [sys.executable, "-m", "benchmarks.gateway.client", verb, server.url(kind), server.key or "none"]
        return [*words, str(self._file(body)), *map(str, rest)]

    def _run(self, command: Sequence[str | Path], seconds: float) -> dict[str, Any]:
        done = subprocess.run(
            pinned(self.cores.load, command), capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, cwd=ROOT
        )
        if done.returncode or not done.stdout.strip():
            raise SystemExit(f"The load failed: {done.stderr or done.stdout}")
        sys.stderr.write(done.stderr)
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    def _file(self, body: bytes) -> Path:
        path = self.folder / f"body-{len(body)}-{hash(body) & 0xFFFFFFFF:08x}.json"
        if not path.exists():
            path.write_bytes(body)
        return path
