"""The software bill of materials of a release: what is installed from the lock file, and what the wheel carries along.

python -m development.release.sbom FILE
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from development.release.packages import build_packages, install_locked
from failed_execution_cleanup import __version__

ROOT: Final = Path(__file__).resolve().parent.parent.parent
VERSION: Final = SchemaVersion.V1_6
_HTMX: Final = "failed_execution_cleanup/console/static/htmx.min.js"


_ANY_TIME: Final = 315532800
"""1980, before which archives know no time; when the wheel was made is not in the bill."""


class InvalidBillError(ValueError):
    """The bill of materials is not what its schema wants; the message says where."""


def bill_of_materials(tree: Path, wheel: Path) -> str:
    """The bill in CycloneDX form, as JSON; the same for the same lock file.

    Args:
        tree: sources with `pyproject.toml` and `uv.lock`.
        wheel: built from them.

    Raises:
        InvalidBillError: it does not follow the schema, or a locked package is missing in it.
        subprocess.CalledProcessError: the environment could not be made.
    """
    with tempfile.TemporaryDirectory(prefix="sbom-") as directory:
        environment = Path(directory) / "environment"
        install_locked(tree, environment)
        bill = _of_environment(environment, tree / "pyproject.toml")
    bill["metadata"]["component"] |= {
        "version": __version__,
        "purl": f"pkg:pypi/failed-execution-cleanup@{__version__}",
    }
    bill["components"].append(_htmx(wheel))
    text = json.dumps(bill, indent=2, sort_keys=True) + "\n"
    if (error := JsonStrictValidator(VERSION).validate_str(text)) is not None:
        raise InvalidBillError(str(error))
    known = {component["name"].lower().replace("_", "-") for component in bill["components"]}
    if missing := installed_packages(tree) - known:
        raise InvalidBillError(f"locked and not in the bill: {', '.join(sorted(missing))}")
    return text


def installed_packages(tree: Path) -> set[str]:
    """Names of the packages that `uv.lock` has for the product, by following its dependencies; those of all platforms apart."""
    packages = {each["name"]: each for each in tomllib.loads((tree / "uv.lock").read_text(encoding="utf-8"))["package"]}
    found: set[str] = set()
    waiting = [
        dependency for dependency in packages["failed-execution-cleanup"]["dependencies"] if "marker" not in dependency
    ]
    while waiting:
        dependency = waiting.pop()
        name = dependency["name"]
        package = packages[name]
        extras = [each for extra in dependency.get("extra", ()) for each in package["optional-dependencies"][extra]]
        if name not in found or extras:
            found.add(name)
            wanted = [*package.get("dependencies", ()), *extras]
            waiting += [each for each in wanted if "marker" not in each and each["name"] not in found]
    return found


def _of_environment(environment: Path, project: Path) -> dict[str, Any]:
    # It is validated once, when it is complete: checking its addresses takes seconds.
    command = [sys.executable, "-m", "cyclonedx_py", "environment", str(environment / "bin" / "python")]
    options = ["--pyproject", str(project), "--mc-type", "application", "--output-reproducible", "--no-validate"]
    version = ["--spec-version", VERSION.to_version(), "--output-format", "JSON", "--output-file", "-"]
    made = subprocess.run([*command, *options, *version], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise InvalidBillError(f"the environment has no bill:\n{made.stderr}")
    bill: dict[str, Any] = json.loads(made.stdout)
    return bill


def _htmx(wheel: Path) -> dict[str, Any]:
    """The library that the console's pages are shipped with; no package of Python, so no tool finds it."""
    with zipfile.ZipFile(wheel) as files:
        content = files.read(_HTMX)
    version = re.search(rb'version:"([0-9.]+)"', content)
    if version is None:
        raise InvalidBillError(f"{_HTMX} in {wheel.name} tells no version")
    number = version[1].decode()
    return {
        "bom-ref": f"htmx.org@{number}",
        "type": "library",
        "name": "htmx.org",
        "version": number,
        "purl": f"pkg:npm/htmx.org@{number}",
        "licenses": [{"license": {"id": "0BSD"}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the bill of the present sources to a file."""
    parser = argparse.ArgumentParser(prog="python -m development.release.sbom", description=__doc__)
    parser.add_argument("file", type=Path)
    target: Path = parser.parse_args(arguments).file
    with tempfile.TemporaryDirectory(prefix="wheel-") as directory:
        build_packages(ROOT, Path(directory), seconds=_ANY_TIME, only="wheel")
        (wheel,) = Path(directory).glob("*.whl")
        text = bill_of_materials(ROOT, wheel)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"{target}: {len(json.loads(text)['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
