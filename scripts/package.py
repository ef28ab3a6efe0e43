"""Make what is deployed: dist/gateway.zip, its bill of materials dist/gateway.cdx.json, and dist/SHA256SUMS.

    python scripts/package.py [DIRECTORY]

The same sources give the same bytes on every machine: names are sorted, times and modes fixed, and nothing is
compressed, since compressors differ. Azure installs requirements.txt from the zip, with its hashes, when it
builds. The bill of materials (CycloneDX) lists just that.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: All that runs on Azure. What is not named here is not deployed, whatever lies in the folder.
FILES = ("LICENSE", "function_app.py", "host.json", "requirements.txt")
FOLDERS = ("gateway",)
#: Of those folders; a backup or a note beside the code stays where it is.
SUFFIXES = {".py", ".html", ".json", ".typed", ".yaml"}

#: The first moment that a zip can name.
EPOCH = (1980, 1, 1, 0, 0, 0)


def sources() -> Iterator[Path]:
    """The files of the package, in the order of their names in it."""
    found = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        inside = ((path, path.relative_to(ROOT).parts) for path in (ROOT / folder).rglob("*"))
        # Hidden folders are an editor's.
        found += [
            path for path, parts in inside if path.suffix in SUFFIXES and not any(map(is_hidden, parts))
        ]
    yield from sorted(found, key=lambda path: path.relative_to(ROOT).as_posix())


def is_hidden(name: str) -> bool:
    """Whether a name is one that `ls` leaves out."""
    return name.startswith(".")


def write_zip(path: Path) -> None:
    """Write the package."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as package:
        for source in sources():
            entry = zipfile.ZipInfo(source.relative_to(ROOT).as_posix(), EPOCH)
            entry.create_system = 3  # Unix, on whatever system this runs
            entry.external_attr = 0o100644 << 16
            package.writestr(entry, source.read_bytes())


def write_bill_of_materials(path: Path) -> None:
    """Write the CycloneDX document of requirements.txt. Raises CalledProcessError; the tool has said why."""
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "requirements.txt"]
    command += ["--pyproject", "pyproject.toml", "--mc-type", "application"]
    command += ["--output-reproducible", "--output-format", "JSON", "--output-file", str(path.resolve())]
    # Five seconds for what a test does: tests/package/test_package.py.
    command += ["--no-validate"]
    subprocess.run(command, cwd=ROOT, check=True)


def main(directory: Path) -> None:
    """Write all three files into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    package, bill = directory / "gateway.zip", directory / "gateway.cdx.json"
    write_zip(package)
    write_bill_of_materials(bill)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (bill, package)]
    (directory / "SHA256SUMS").write_text("".join(sums))
    print(f"{package}: {package.stat().st_size:,} bytes\n{''.join(sums)}", end="")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
