"""The product's steps in words for people (appliance facts 7.2). A tool's name, a device or the cloud's words are never shown."""

from __future__ import annotations

import re
from typing import Final

FRIENDLY: Final = {
    "validation": "Pre-flight Validation",
    "source-vm-power-off": "Powering Off Source VM",
    "source-vm-power-on": "Powering On Source VM",
    "final-sync": "Final Data Synchronization",
    "multi-volume-snapshot-creation": "Creating Backup Snapshots",
    "volume-mode-switch-failover": "Configuring Storage Mode",
    "volume-mode-switch-oma": "Preparing Storage Volumes",
    "virtio-driver-injection": "Preparing Drivers for Compatibility",
    "vm-creation": "Creating Destination VM",
    "volume-attachment": "Attaching Storage Volumes",
    "volume-detachment": "Detaching Storage Volumes",
    "volume-reattachment-to-oma": "Restoring Storage Configuration",
    "vm-startup-and-validation": "Starting and Validating VM",
    "test-vm-shutdown": "Shutting Down Test VM",
    "test-vm-deletion": "Removing Test VM",
    "multi-volume-cleanup": "Cleaning Up Storage Snapshots",
    "status-update": "Updating VM Status",
    "failover-job-status-update": "Updating Operation Status",
    "vm-context-status-update": "Finalizing VM State",
    "failover-job-retrieval": "Retrieving Operation Details",
}
"""The product's own display names."""

_OTHER: Final = "Working on the VM"
"""For a step whose name says what nobody is to see."""

_HIDDEN: Final = re.compile(r"virt-?v2v|virtio|cloudstack|/dev/", re.IGNORECASE)


def step_words(step: str | None) -> str | None:
    """Words for a step of the product; an unknown name is spelled in title case, None stays None."""
    if not step:
        return None
    known = FRIENDLY.get(step.strip().lower())
    if known is not None:
        return known
    if _HIDDEN.search(step):
        return _OTHER
    return " ".join(word[:1].upper() + word[1:] for word in re.split(r"[-_\s]+", step.strip()) if word)[:255]
