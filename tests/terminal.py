"""A command on a terminal of its own, and a person who answers its question."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

QUESTION = b"[y/N]: "


def run_on_terminal(
    command: Sequence[str | Path], environment: Mapping[str, str], *, answer: str = "", seconds: float
) -> tuple[int, str]:
    """Run a command and answer its question; gives its exit code and all that the terminal received.

    Raises:
        subprocess.TimeoutExpired: it did not end `seconds` after its last output.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        env={**environment, "TERM": "xterm", "COLUMNS": "160", "LINES": "50"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    received = b""
    try:
        while chunk := _read(ours):
            received += chunk
            if answer and QUESTION in received:
                os.write(ours, answer.encode())
                answer = ""
        code = process.wait(seconds)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return code, received.decode(errors="replace")


def _read(terminal: int) -> bytes:
    """The next bytes; none once nobody has the other end open."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: EIO
        return b""
