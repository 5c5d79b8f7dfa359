"""A terminal with a cluster behind it."""

from tests.unit.commands.terminal import cluster, fec

__all__ = ["cluster", "fec"]
