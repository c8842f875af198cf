"""The programs a run needs: nginx with Lua, wrk and strace from Debian, LiteLLM in a virtual environment of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.gateway.machine import ROOT

CACHE = ROOT / ".bench"
"""Git-ignored: LiteLLM's virtual environment, and per run the data folders, settings and logs."""
LITELLM_LOCK = Path(__file__).parent / "litellm.txt"
LUA_MODULE = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
PACKAGES = {"nginx": "nginx", "wrk": "wrk", "strace": "strace", "taskset": "util-linux"}


def need_programs() -> None:
    """Installs what is missing with apt-get; ends with a clear sentence where it may not."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not LUA_MODULE.exists():
        missing.append("libnginx-mod-http-lua")
    if not missing:
        return
    wanted = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"The benchmark needs these Debian packages; as root run: apt-get install {wanted}")
    print(f"Installing with apt-get: {wanted}", file=sys.stderr)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", *command], env=quiet, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"apt-get failed; install {wanted} by hand.\n{done.stderr}")
    # Debian starts its own nginx when it installs it; the benchmark starts its own and leaves no service behind.
    if "nginx" in missing and shutil.which("service"):
        subprocess.run(["service", "nginx", "stop"], capture_output=True)


def litellm() -> Path:
    """The LiteLLM command at the locked version, installed on first use."""
    folder = CACHE / "litellm"
    command, marker = folder / "bin" / "litellm", folder / "installed.txt"
    lock = LITELLM_LOCK.read_text()
    if not (marker.exists() and marker.read_text() == lock):
        print("Installing LiteLLM (once, some minutes)…", file=sys.stderr)
        subprocess.run([ROOT / "tools" / "make_venv", sys.executable, folder], check=True)
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        subprocess.run([folder / "bin" / "python", *install, "-r", LITELLM_LOCK], check=True)
        marker.write_text(lock)
    return command


def version(command: list[str | Path]) -> str:
    """The first line a program says about its version."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return next(iter((done.stdout + done.stderr).strip().splitlines()), "unknown")


def litellm_version() -> str:
    """As locked."""
    return next(
        line.split("==")[1].split()[0] for line in LITELLM_LOCK.read_text().splitlines() if line.startswith("litellm==")
    )
