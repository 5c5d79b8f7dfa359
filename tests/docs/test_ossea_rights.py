"""The role that the documentation wants in OSSEA allows every command that is spoken there, and no other."""

from __future__ import annotations

import inspect
import re

from failed_execution_cleanup.appliance import ossea
from tests.docs.pages import DOCS

COMMAND = r"(?:list|query|revert|delete|stop|destroy|expunge)[A-Z]\w+"


def test_the_commands_on_the_page_are_those_the_client_speaks() -> None:
    page = (DOCS / "security.md").read_text(encoding="utf-8")
    section = page.partition("## The account in OSSEA")[2].partition("\n## ")[0]
    spoken = set(re.findall(rf'"({COMMAND})"', inspect.getsource(ossea)))
    assert len(spoken) > 10
    assert set(re.findall(rf"`({COMMAND})`", section)) == spoken
