"""The lock files: complete, hashed, in step with pyproject.toml, and silent about where anything comes from."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUNTIME, TEST = ROOT / "requirements/runtime.txt", ROOT / "requirements/test.txt"
FUZZ, INSTALLER = ROOT / "requirements/fuzz.txt", ROOT / "requirements/installer.txt"
NODE_LOCK = ROOT / "tests/node/package-lock.json"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(path: Path) -> dict[str, str]:
    """Names and versions of a requirement file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def wanted(*extras: str, groups: tuple[str, ...]) -> list[Requirement]:
    lines = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        lines += PROJECT["project"]["optional-dependencies"][extra]
    for group in groups:
        lines += PROJECT["dependency-groups"][group]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("path", [RUNTIME, TEST, FUZZ, INSTALLER], ids=lambda path: path.name)
def test_every_line_of_a_lock_is_a_pin_or_a_hash(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._\[\]-]+==[^\s]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), (
            line
        )


@pytest.mark.parametrize("path", [RUNTIME, TEST, FUZZ, INSTALLER, NODE_LOCK], ids=lambda path: path.name)
def test_no_lock_names_an_address_or_a_path(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "file:" not in text
    assert '"resolved"' not in text
    assert "--index-url" not in text
    assert "--find-links" not in text


def test_what_the_project_needs_is_locked_in_a_version_that_suits() -> None:
    runtime, test, fuzz = pins(RUNTIME), pins(TEST), pins(FUZZ)
    for group, locked in (("fuzz", fuzz), ("installer", pins(INSTALLER))):
        for line in PROJECT["dependency-groups"][group]:
            assert Requirement(line).specifier.contains(locked[canonicalize_name(Requirement(line).name)]), line
    for requirement in wanted(groups=("build",)):
        assert requirement.specifier.contains(runtime[canonicalize_name(requirement.name)]), requirement
    for requirement in wanted(*PROJECT["project"]["optional-dependencies"], groups=("build", "test")):
        assert requirement.specifier.contains(test[canonicalize_name(requirement.name)]), requirement


def test_tests_run_on_the_versions_that_are_shipped() -> None:
    runtime, test = pins(RUNTIME), pins(TEST)
    assert runtime.items() <= test.items()


def test_the_build_uses_the_locked_builder() -> None:
    assert PROJECT["build-system"]["requires"] == PROJECT["dependency-groups"]["build"]


def test_the_node_client_is_locked_with_hashes() -> None:
    lock = json.loads(NODE_LOCK.read_text())
    package = json.loads((NODE_LOCK.parent / "package.json").read_text())
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    installed = {name: entry for name, entry in lock["packages"].items() if name}
    assert "node_modules/openai" in installed
    assert all(entry["integrity"].startswith("sha512-") for entry in installed.values())


def test_no_lock_that_records_hosts_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in listed if Path(name).name in {"uv.lock", "pylock.toml", "yarn.lock", "poetry.lock"}]
    for npmrc in (ROOT / ".npmrc", ROOT / "tests/node/.npmrc"):
        assert npmrc.read_text() == "omit-lockfile-registry-resolved=true\n"
