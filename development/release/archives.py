"""Archives that are the same whenever and by whomever they are made."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path


def packed(folder: Path, *, seconds: int) -> bytes:
    """A folder as tar.gz.

    Args:
        folder: what is packed, under its own name.
        seconds: time stamp of all files in it, in seconds since 1970.
    """
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as files:
        files.add(folder, arcname=folder.name)
    return with_time(written.getvalue(), seconds)


def with_time(archive: bytes, seconds: int) -> bytes:
    """The same tar.gz with one time stamp for all, sorted, and nobody's files; read by all, run if it was to be run."""
    written = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        gzip.GzipFile(fileobj=written, mode="wb", mtime=seconds) as packed,
        tarfile.open(fileobj=packed, mode="w") as result,
    ):
        for member in sorted(source.getmembers(), key=lambda each: (each.name.count("/") > 1, each.name)):
            member.mtime, member.uid, member.gid, member.uname, member.gname = seconds, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            result.addfile(member, source.extractfile(member))
    return written.getvalue()
