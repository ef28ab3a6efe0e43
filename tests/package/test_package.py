"""The zip that is deployed, and its bill of materials."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest
from support.hosts import start_functions_host
from support.programs import finished
from support.upstream import gateway_config

ROOT = Path(__file__).parents[2]
#: Used where it is installed, and no requirement: Azure's worker brings it.
OPTIONAL = {"uvloop"}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def locked(name="requirements.txt"):
    """Each package of a lock: the versions it is pinned to."""
    found = {}
    for package, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def test_the_same_sources_give_the_same_bytes_elsewhere(made, tmp_path):
    """In another folder, with other modes and times, in another zone; and with what editors leave behind."""
    copy = tmp_path / "another folder"
    for name in (
        "gateway",
        "scripts",
        "LICENSE",
        "function_app.py",
        "host.json",
        "pyproject.toml",
        "requirements.txt",
    ):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name)
        else:
            shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    for name in (
        "app.py.orig",
        "app.py~",
        ".app.py.swp",
        ".#app.py",
        "notes.txt",
        ".idea/app.py",
        "__pycache__/app.pyc",
    ):
        (copy / "gateway" / name).parent.mkdir(exist_ok=True)
        (copy / "gateway" / name).write_text("left behind")

    script = str(copy / "scripts/package.py")
    code, output = finished(sys.executable, script, str(tmp_path), seconds=120, TZ="Pacific/Auckland")

    assert 0 == code, output
    for name in ("gateway.zip", "gateway.cdx.json", "SHA256SUMS"):
        assert (made / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_bytes_depend_on_no_clock_mode_compressor_or_order(made):
    with zipfile.ZipFile(made / "gateway.zip") as package:
        entries = package.infolist()

    assert sorted(entry.filename for entry in entries) == [entry.filename for entry in entries]
    assert {((1980, 1, 1, 0, 0, 0), 0o100644 << 16, zipfile.ZIP_STORED, 3)} == {
        (entry.date_time, entry.external_attr, entry.compress_type, entry.create_system) for entry in entries
    }


def test_the_sums_are_those_of_the_files(made):
    lines = (made / "SHA256SUMS").read_text().splitlines()

    assert lines == [
        f"{hashlib.sha256((made / name).read_bytes()).hexdigest()}  {name}"
        for name in ("gateway.cdx.json", "gateway.zip")
    ]


def test_only_what_runs_on_azure_is_in_it(made):
    names = set(zipfile.ZipFile(made / "gateway.zip").namelist())

    assert {"function_app.py", "host.json", "requirements.txt", "gateway/app.py", "LICENSE"} <= names
    assert {"function_app.py", "host.json", "requirements.txt", "LICENSE"} == {
        name for name in names if "/" not in name
    }
    assert {"gateway"} == {name.partition("/")[0] for name in names if "/" in name}
    assert not [name for name in names if name.endswith(".pyc") or "local.settings" in name]


def test_all_of_the_gateway_that_git_knows_is_in_it(made):
    code, output = finished("git", "ls-files", "gateway")
    if code:
        pytest.skip("not a checkout")

    assert set(output.split()) == {
        name for name in zipfile.ZipFile(made / "gateway.zip").namelist() if name.startswith("gateway/")
    }


def test_what_core_tools_would_leave_out_is_left_out_here_too(made):
    """Both ways to deploy send the same: .funcignore names what is at the root and not in the zip."""
    ignored = set((ROOT / ".funcignore").read_text().splitlines())
    at_root = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    in_zip = {name.partition("/")[0] for name in zipfile.ZipFile(made / "gateway.zip").namelist()}

    left = {
        name
        for name in at_root - in_zip
        if not any(Path(name).match(pattern) for pattern in ignored if pattern[0] != "#")
    }
    assert set() == left


def test_it_serves_in_the_real_runtime(made, simulator, tmp_path):
    with zipfile.ZipFile(made / "gateway.zip") as package:
        package.extractall(tmp_path / "app")
    configuration = gateway_config(simulator.url)
    key = configuration["general_settings"]["master_key"]
    headers = {"Authorization": f"Bearer {key}"}

    # Beside the app: as a variable it would be too long for Linux.
    config = tmp_path / "config.json"
    config.write_text(json.dumps(configuration))
    with start_functions_host(tmp_path / "app", {"GATEWAY_CONFIG": str(config)}) as host:
        answers = [
            httpx.get(f"{host.url}/healthz", timeout=120),
            httpx.get(f"{host.url}/v1/models", headers=headers, timeout=120),
            httpx.post(f"{host.url}/v1/chat/completions", headers=headers, json=CHAT, timeout=120),
            httpx.post(
                f"{host.url}/v1/chat/completions", headers=headers, json=CHAT | {"stream": True}, timeout=120
            ),
            httpx.get(f"{host.url}/v1/models", timeout=120),
        ]

    assert [200, 200, 200, 200, 401] == [answer.status_code for answer in answers], answers[1].text
    assert answers[3].text.rstrip().endswith("data: [DONE]")
    # It was the package's own code: the interpreter left its bytecode there.
    assert list(tmp_path.glob("app/gateway/__pycache__/app.*.pyc"))


def test_every_locked_package_is_pinned_and_has_hashes():
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert len(entries) > 30
        for entry in entries:
            assert re.match(
                r"[a-z0-9._-]+==\S+ .*\\\n {4}--hash=sha256:[0-9a-f]{64}", entry.replace("==", "==", 1)
            ), entry
        # No built distribution, no source: nothing of a package runs before it is installed.
        assert "\n--only-binary :all:\n" in text


def test_locks_name_no_index_and_no_place():
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert not re.search(
            r"://|^-(i|f)\b|--(extra-)?index-url|--find-links|@ ", (ROOT / name).read_text(), re.MULTILINE
        )


def test_tests_run_with_what_is_deployed():
    dev = locked("requirements-dev.txt")

    assert {name: versions for name, versions in locked().items() if dev.get(name) != versions} == {}


def test_all_that_the_gateway_imports_is_locked():
    """Directly: what is imported by name is in requirements.in itself, not only brought by something else."""
    asked_for = {
        re.split(r"[=;\s\[]", line, maxsplit=1)[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.in").read_text().splitlines()
        if line and not line.startswith("#")
    }
    distributions = packages_distributions()
    missing = set()
    for path in [ROOT / "function_app.py", *(ROOT / "gateway").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                if top in sys.stdlib_module_names or top in {"gateway", "function_app", "__future__"}:
                    continue
                owners = {owner.lower().replace("_", "-") for owner in distributions.get(top, [])}
                if not owners & (asked_for | OPTIONAL):
                    missing.add(name)
    assert set() == missing


def test_the_bill_of_materials_lists_what_is_locked(made):
    document = json.loads((made / "gateway.cdx.json").read_text())

    assert ("CycloneDX", "azure-functions-openai-gateway") == (
        document["bomFormat"],
        document["metadata"]["component"]["name"],
    )
    listed = {}
    for component in document["components"]:
        listed.setdefault(component["name"].lower(), set()).add(component["version"])
        hashes = [found for reference in component["externalReferences"] for found in reference["hashes"]]
        assert hashes
        assert all("SHA-256" == found["alg"] for found in hashes)
    assert locked() == listed


def test_the_bill_of_materials_is_valid(made):
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from cyclonedx.validation import make_schemabased_validator

    text = (made / "gateway.cdx.json").read_text()
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    assert make_schemabased_validator(OutputFormat.JSON, version).validate_str(text) is None


def test_the_bill_of_materials_tells_nothing_of_who_made_it(made):
    text = (made / "gateway.cdx.json").read_text()

    assert "serialNumber" not in text
    assert "timestamp" not in text
    assert {"pypi.org"} == set(re.findall(r'"url": "https://([^/"]+)/simple/', text))
    assert str(ROOT) not in text
