"""The servers of a run: the fake provider, and nginx as a proxy, Tessera and LiteLLM in front of it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gateway import bodies, programs
from benchmarks.gateway.machine import Cores, pinned

START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 60
CREDIT = "1000000"
CREDENTIAL = "sk-fake-provider"
ADDRESS = "127.0.0.1"
GAPS_MS = {"paced": 10, "slow": 50}
"""Milliseconds between the frames of a stream, by kind."""


@dataclass
class Server:
    """A running candidate, or the provider itself (`direct`)."""

    name: str
    port: int
    pid: int
    key: str = ""
    prefixed: bool = False
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    started_at: float = field(default_factory=time.time)

    def url(self, kind: str) -> str:
        """Where calls of a kind go: nginx and the provider tell kinds by path, gateways by model."""
        return f"http://{ADDRESS}:{self.port}{f'/{kind}' if self.prefixed else ''}/v1/chat/completions"

    @property
    def core_owner(self) -> bool:
        """Whether it runs on the candidate's core."""
        return self.name != "direct"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def provider(folder: Path, cores: Cores) -> Iterator[Server]:
    """nginx with Lua on the load's core: constant replies, and streams at a pace."""
    port = free_port()
    (folder / "reply.json").write_bytes(bodies.reply())
    frames = ",\n".join(f"[==[{frame.decode()}]==]" for frame in _lua_safe(bodies.stream_frames()))
    (folder / "frames.lua").write_text(f"return {{ {frames} }}\n")
    locations = "".join(_STREAM.format(kind=kind, gap_s=gap_ms / 1000) for kind, gap_ms in GAPS_MS.items())
    config = _nginx_config(folder, "provider", _PROVIDER.format(folder=folder, port=port, streams=locations), lua=True)
    command = pinned(cores.load, ["nginx", "-c", config, "-p", folder, "-e", folder / "provider.log"])
    with running(command, folder / "provider.log", port) as process:
        yield Server("direct", port, process.pid, prefixed=True)


@contextlib.contextmanager
def nginx(folder: Path, cores: Cores, upstream: Server) -> Iterator[Server]:
    """nginx as a plain proxy: what one core can do at all. No key, no count, no money."""
    port = free_port()
    config = _nginx_config(folder, "proxy", _PROXY.format(port=port, upstream=upstream.port))
    command = pinned(cores.candidate, ["nginx", "-c", config, "-p", folder, "-e", folder / "proxy.log"])
    with running(command, folder / "proxy.log", port) as process:
        yield Server("nginx", port, process.pid, prefixed=True)


@contextlib.contextmanager
def tessera(folder: Path, cores: Cores, upstream: Server, wrapper: Sequence[str | Path] = ()) -> Iterator[Server]:
    """`tessera serve` on a fresh data folder with a live key that has credit. Nothing is switched off."""
    data, config = folder / "data", folder / "tessera.toml"
    shutil.rmtree(data, ignore_errors=True)
    config.write_text(
        "".join(_PROVIDER_ROW.format(kind=k, model=m, port=upstream.port) for k, m in bodies.MODELS.items())
    )
    place = ("--data", str(data))
    run_tessera("orgs", "create", "bench", *place)
    run_tessera("credit", "add", "--org", "bench", "--mode", "live", "--amount", CREDIT, *place)
    key = json.loads(run_tessera("keys", "create", "--org", "bench", "--mode", "live", "--json", *place))["key"]
    port = free_port()
    environment = {**_clean(), "BENCH_CREDENTIAL": CREDENTIAL}
    serve: list[str | Path] = [
        *wrapper,
        sys.executable,
        "-m",
        "tessera",
        "serve",
        "--port",
        str(port),
        "--config",
        config,
        *place,
    ]
    with running(pinned(cores.candidate, serve), folder / "tessera.log", port, environment) as process:
        yield Server("tessera", port, process.pid, key=key)


@contextlib.contextmanager
def litellm(folder: Path, cores: Cores, upstream: Server) -> Iterator[Server]:
    """The LiteLLM proxy with a master key and no database: one worker, telemetry off, its local price map."""
    port, config = free_port(), folder / "litellm.yaml"
    rows = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://{ADDRESS}:{upstream.port}/{kind}/v1",
                "api_key": CREDENTIAL,
            },
        }
        for kind, model in bodies.MODELS.items()
    ]
    key = "sk-litellm-master"
    settings = {"model_list": rows, "general_settings": {"master_key": key}, "litellm_settings": {"telemetry": False}}
    config.write_text(json.dumps(settings))
    environment = {**_clean(), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "*"}
    serve: list[str | Path] = [programs.litellm(), "--config", config, "--telemetry", "False", "--num_workers", "1"]
    serve += ["--host", ADDRESS, "--port", str(port)]
    with running(pinned(cores.candidate, serve), folder / "litellm.log", port, environment) as process:
        yield Server("litellm", port, process.pid, key=key)


CANDIDATES = {"nginx": nginx, "tessera": tessera, "litellm": litellm}


def run_tessera(*arguments: str) -> str:
    """What a `tessera` command prints. Ends the run when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tessera", *arguments], capture_output=True, text=True, env=_clean(), timeout=300
    )
    if done.returncode:
        raise SystemExit(f"tessera {arguments[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def calls_settled(folder: Path) -> int:
    """Usage events in the ledger of a Tessera server that has stopped."""
    place = ("--data", str(folder / "data"))
    return sum(row["calls"] for row in json.loads(run_tessera("usage", "--org", "bench", "--json", *place)))


def verify(folder: Path) -> int:
    """How many checks the audit made, all of them right; ends the run otherwise."""
    found = json.loads(run_tessera("verify", "--json", "--data", str(folder / "data")))
    if not found["ok"]:
        raise SystemExit(f"The audit of the ledger found something: {found}")
    return len(found["checks"])


def _clean() -> dict[str, str]:
    dropped = ("TESSERA_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "LITELLM_", "DATABASE_URL", "http_proxy", "HTTP_PROXY")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server from when it answers until it has ended."""
    with log.open("ab") as log_file:
        process = subprocess.Popen(command, stdout=log_file, stderr=log_file, env=environment)
    try:
        _wait(process, port, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"It ended at its start:\n{log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(f"http://{ADDRESS}:{port}/healthz", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # LiteLLM has no such path; that it says so means that it serves.
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"It did not answer within {START_SECONDS_MAX} s:\n{log.read_text()[-2000:]}")


def _lua_safe(frames: list[bytes]) -> list[bytes]:
    # Lua drops the first newline of a long string and these have none there; the ends stay as they are.
    assert all(not frame.startswith(b"\n") and b"]==]" not in frame for frame in frames)
    return frames


def _nginx_config(folder: Path, name: str, http: str, *, lua: bool = False) -> Path:
    modules = "/usr/lib/nginx/modules"
    loads = f"load_module {modules}/ndk_http_module.so;\nload_module {modules}/ngx_http_lua_module.so;\n" if lua else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {kind}_temp_path {folder}/{name}_{kind};\n" for kind in kinds)
    path = folder / f"{name}.conf"
    path.write_text(
        f"{loads}{'user root;' if os.geteuid() == 0 else ''}\ndaemon off;\nworker_processes 1;\n"
        f"worker_rlimit_nofile 65536;\npid {folder}/{name}.pid;\nevents {{ worker_connections 16384; }}\n"
        f"http {{\n    access_log off;\n    tcp_nodelay on;\n"
        f"    keepalive_requests 100000000;\n    keepalive_timeout 600s;\n"
        f"    client_max_body_size 64m;\n{temporary}{http}}}\n"
    )
    return path


_PROVIDER = """
    client_body_buffer_size 32m;
    init_by_lua_block {{
        local file = io.open("{folder}/reply.json", "rb")
        reply = file:read("*a")
        file:close()
        frames = dofile("{folder}/frames.lua")
    }}
    server {{
        listen {port} backlog=4096;
        location = /healthz {{ return 200 "ok"; }}
        location /plain/ {{
            content_by_lua_block {{
                ngx.req.read_body()
                ngx.header.content_type = "application/json"
                ngx.header.content_length = #reply
                ngx.print(reply)
            }}
        }}
        {streams}
    }}
"""

_STREAM = """
        location /{kind}/ {{
            content_by_lua_block {{
                ngx.req.read_body()
                ngx.header.content_type = "text/event-stream"
                for number, frame in ipairs(frames) do
                    ngx.print(frame)
                    ngx.flush()
                    if number < #frames then ngx.sleep({gap_s}) end
                end
            }}
        }}
"""

_PROXY = """
    upstream provider {{
        server 127.0.0.1:{upstream};
        keepalive 2048;
        keepalive_requests 100000000;
    }}
    server {{
        listen {port} backlog=4096;
        location = /healthz {{ return 200 "ok"; }}
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
"""

_PROVIDER_ROW = """
[[provider]]
name = "{kind}"
base_url = "http://127.0.0.1:{port}/{kind}/v1"
surfaces = ["chat"]
credential = "env:BENCH_CREDENTIAL"

[[deployment]]
model = "{model}"
provider = "{kind}"
"""
