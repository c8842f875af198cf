"""Workers that die again and again are started again and again, and answer each time."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from tessera.server import workers
from tessera.server.workers import Workers

workers.PAUSE_SECONDS = 0
lives = Path(sys.argv[1])

def serve(place, say):
    life = len(list(lives.iterdir())) + 1
    os.write(say, (f"life {life} " + "x" * (50_000 if life > 1 else 0)).encode() + b"\\n")
    (lives / str(life)).touch()
    if life == 1:
        time.sleep(1)  # heard, so that it is started again
    if life == 5:
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()
    os._exit(3)

print(Workers(1, serve, print).run(lambda: None))
"""


def test_what_a_worker_says_when_it_is_started_again_never_stops_it(tmp_path: Path) -> None:
    """A pipe takes 64 KiB; nobody is told of later lives, and each says as much as the first."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["life 1 ", "True"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "4", "5"]
