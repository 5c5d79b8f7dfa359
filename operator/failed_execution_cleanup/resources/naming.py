"""Names for cleanups that the operator, the command line or a console creates."""

import hashlib
import re
import unicodedata
import uuid
from typing import Final

MAX_NAME_LENGTH: Final = 63
"""Longest DNS-1123 label; also the limit for a label value, so the name can be used as one."""

JOB_PART_LENGTH: Final = 8


def cleanup_name(vm_name: str, failover_job_id: str) -> str:
    """Return the name ``<vm slug>-<job id, 8>`` of the cleanup of one failover job.

    The same VM and job always give the same name, so creating twice meets AlreadyExists instead of making a second
    cleanup.

    Args:
        vm_name: Free text as in vCenter: spaces, capitals, any script.
        failover_job_id: ``failover_jobs.job_id``, usually a UUID.

    Returns:
        A DNS-1123 label of at most 63 characters.

    Raises:
        ValueError: If the job id is empty.
    """
    if not failover_job_id:
        raise ValueError(f"the cleanup of VM {vm_name!r} needs a failover job id for its name")
    longest_slug = MAX_NAME_LENGTH - JOB_PART_LENGTH - len("-")
    slug = _slug(vm_name)[:longest_slug].rstrip("-") or "vm"
    return f"{slug}-{_job_part(failover_job_id)}"


def _slug(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", folded).strip("-")


def _job_part(job_id: str) -> str:
    try:
        return uuid.UUID(job_id).hex[:JOB_PART_LENGTH]
    except ValueError:
        # Other ids share prefixes such as "failover-"; a digest keeps two jobs of one VM apart.
        return hashlib.sha256(job_id.encode()).hexdigest()[:JOB_PART_LENGTH]
