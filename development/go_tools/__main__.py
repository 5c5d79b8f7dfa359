"""`python -m development.go_tools build | path NAME…`: each prints the paths of the tools it was asked for."""

from __future__ import annotations

import argparse
import signal
import sys

from development.go_build import BuildError
from development.go_tools.tools import TOOLS, build_tool, find_tool
from development.processes import MissingProgramError


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m development.go_tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, explanation in (("build", "build what is not there yet"), ("path", "tell where it is")):
        commands.add_parser(command, help=explanation).add_argument("names", nargs="+", choices=TOOLS, metavar="NAME")
    options = parser.parse_args(arguments)
    provide = build_tool if options.command == "build" else find_tool
    try:
        for name in options.names:
            print(provide(name))
    except (MissingProgramError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
