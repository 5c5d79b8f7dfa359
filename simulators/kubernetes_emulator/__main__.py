"""`python -m kubernetes_emulator`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from kubernetes_emulator.server import Emulator, emulator


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line options."""
    parser = argparse.ArgumentParser(prog="kubernetes_emulator", description="A little Kubernetes API on loopback.")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--crds", type=Path, help="directory with custom resource definitions to begin with")
    parser.add_argument("--bookmark-seconds", type=float, default=60.0, help="how often a watch gets a bookmark")
    parser.add_argument(
        "--ready-file",
        type=Path,
        required=True,
        help="where to write, once it serves, JSON with `url` and `kubeconfig`; the kubeconfig is written beside it",
    )
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with emulator(options.port, crds=options.crds, bookmark_seconds=options.bookmark_seconds) as running:
        _announce(running, options.ready_file.absolute())
        await stop.wait()


def _announce(running: Emulator, ready_file: Path) -> None:
    """Tell the address; the ready file comes last and appears complete."""
    kubeconfig = ready_file.with_suffix(".kubeconfig")
    kubeconfig.write_text(json.dumps(running.kubeconfig(), indent=2), encoding="utf-8")  # JSON is YAML
    unfinished = ready_file.with_suffix(".part")
    unfinished.write_text(json.dumps({"url": running.url, "kubeconfig": str(kubeconfig)}), encoding="utf-8")
    unfinished.replace(ready_file)


def main() -> None:
    """Entry point."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(run(parse(sys.argv[1:])))


if __name__ == "__main__":
    main()
