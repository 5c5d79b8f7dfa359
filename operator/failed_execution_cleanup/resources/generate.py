"""Write the CustomResourceDefinitions of the models into ``crds/``, or check that they are there.

Usage: ``python -m failed_execution_cleanup.resources.generate [--check] [--directory crds]``
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from failed_execution_cleanup.resources.schema import crd_documents

_HEADER = "# Generated from the models in failed_execution_cleanup/resources by `make generate`; edit those instead.\n"


class _PlainDumper(yaml.SafeDumper):
    """Writes repeated parts in full: YAML anchors are legal, but reviewers and other tools stumble over them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)


def crd_files() -> dict[str, str]:
    """Return the content of each generated file by its name."""
    return {_file_name(document): _HEADER + _to_yaml(document) for document in crd_documents()}


def out_of_date(directory: Path) -> list[Path]:
    """Return the generated files that are missing in ``directory`` or differ from the models."""
    return [
        path
        for path, content in ((directory / name, content) for name, content in crd_files().items())
        if not path.is_file() or path.read_text(encoding="utf-8") != content
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate or check; return the exit code: 0 done, 1 out of date, 2 no such directory."""
    parser = argparse.ArgumentParser(prog="python -m failed_execution_cleanup.resources.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--directory", type=Path, default=Path("crds"), help="where the files are (default: crds)")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    if not directory.is_dir():
        sys.stderr.write(
            f"{directory} is no directory: run this at the root of the checkout or name one by --directory\n"
        )
        return 2
    if options.check:
        stale = out_of_date(directory)
        for path in stale:
            sys.stderr.write(f"{path} is out of date: run `make generate` and commit the result\n")
        return 1 if stale else 0
    for name, content in crd_files().items():
        (directory / name).write_text(content, encoding="utf-8")
    return 0


def _file_name(document: Mapping[str, Any]) -> str:
    return f"{document['spec']['group']}_{document['spec']['names']['plural']}.yaml"


def _to_yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(main())
