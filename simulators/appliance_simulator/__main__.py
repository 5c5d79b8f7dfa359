"""`python -m appliance_simulator`: run a pretend appliance until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from appliance_simulator.appliance import DEFAULT_VCENTER, simulator
from appliance_simulator.leftovers import LEFTOVERS


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line options."""
    parser = argparse.ArgumentParser(prog="appliance_simulator", description="A pretend appliance on loopback.")
    parser.add_argument("--database", required=True, help="mysql+asyncmy://… or sqlite+aiosqlite:///<file>")
    parser.add_argument("--ossea-port", type=int, default=0, help="TCP port of OSSEA; 0 takes a free one")
    parser.add_argument("--daemon-port", type=int, default=0, help="TCP port of the Volume Daemon; 0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0, help="TCP port of the control API; 0 takes a free one")
    parser.add_argument("--scenario", choices=sorted(LEFTOVERS), help="row of the failure table every --vm is put into")
    parser.add_argument("--vm", action="append", default=[], help="name of a VM to build; may be repeated")
    parser.add_argument("--disks", type=int, default=3, help="disks of each VM")
    parser.add_argument("--vcenter", default=DEFAULT_VCENTER, help="vCenter of each VM")
    parser.add_argument("--age-seconds", type=float, default=7200.0, help="how long ago the failover was requested")
    parser.add_argument(
        "--ready-file", type=Path, help="where to write the addresses as JSON; default: standard output"
    )
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with simulator(
        options.database,
        ossea_port=options.ossea_port,
        daemon_port=options.daemon_port,
        control_port=options.control_port,
    ) as appliance:
        built = []
        for name in options.vm:
            common = {"vm_name": name, "disks": options.disks, "vcenter_host": options.vcenter}
            if options.scenario is None:
                built.append(await appliance.replicate(**common, age_seconds=options.age_seconds))
            else:
                built.append(await appliance.build(options.scenario, **common, age_seconds=options.age_seconds))
        _announce({**appliance.address(), "built": [one.as_json() for one in built]}, options.ready_file)
        await stop.wait()


def _announce(address: dict[str, object], ready_file: Path | None) -> None:
    """Tell the addresses; the file appears complete, and for this user only, as it holds the account's secret."""
    text = json.dumps(address, indent=2)
    if ready_file is None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        return
    unfinished = ready_file.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    unfinished.replace(ready_file)


def main() -> None:
    """Entry point."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(run(parse(sys.argv[1:])))


if __name__ == "__main__":
    main()
