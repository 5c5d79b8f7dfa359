"""Steps in words for people: the product's own, and none that says what nobody is to see."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.resources.step_names import FRIENDLY, step_words


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("virtio-driver-injection", "Preparing Drivers for Compatibility"),
        ("final-sync", "Final Data Synchronization"),
        ("multi-volume-snapshot-cleanup", "Multi Volume Snapshot Cleanup"),
        ("detach_attached volumes", "Detach Attached Volumes"),
        ("run-virt-v2v-in-place", "Working on the VM"),
        ("VirtIO setup", "Working on the VM"),
        ("CloudStack API error", "Working on the VM"),
        ("mount /dev/vdb", "Working on the VM"),
        ("", None),
        (None, None),
    ],
)
def test_words_of_a_step(step: str | None, words: str | None) -> None:
    assert step_words(step) == words


def test_no_words_of_the_product_tell_a_tool_or_the_cloud() -> None:
    for words in FRIENDLY.values():
        assert not {"virt", "cloudstack", "/dev"} & {
            part for part in ("virt", "cloudstack", "/dev") if part in words.lower()
        }
