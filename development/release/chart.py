"""The Helm chart as Helm packages it, with the time stamps of the commit."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from development.go_tools import find_tool
from development.release.archives import with_time

CHART: Final = "helm/failed-execution-cleanup"


def package_chart(tree: Path, target: Path, *, seconds: int) -> Path:
    """Package the chart; gives the file.

    Args:
        tree: sources with the chart.
        target: folder for it.
        seconds: time stamp of all files in it, in seconds since 1970.

    Raises:
        MissingProgramError: Helm was not built.
        subprocess.CalledProcessError: Helm refuses the chart.
    """
    with tempfile.TemporaryDirectory(prefix="chart-") as directory:
        command = [str(find_tool("helm")), "package", str(tree / CHART), "--destination", directory]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (packed,) = Path(directory).glob("*.tgz")
        # Helm stamps files with the time of packaging.
        (target / packed.name).write_bytes(with_time(packed.read_bytes(), seconds))
    return target / packed.name
