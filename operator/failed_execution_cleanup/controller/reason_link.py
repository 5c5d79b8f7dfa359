"""The end of a message: where the page of its reason is. Page names are the reasons themselves and never change."""

from __future__ import annotations

import re
from typing import Final

from failed_execution_cleanup.resources.kubernetes_model import MESSAGE_LENGTH, shortened
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind

DOCS_URL: Final = "docs/reasons/"
"""Where the pages are in the repository; an installation names its own place with `FEC_DOCS_URL`."""

_LINKED: Final = frozenset({ReasonKind.WAITING, ReasonKind.HELD, ReasonKind.STALLED})
"""Kinds after which somebody asks what to do: those with which `Ready` is False."""


def linked(message: str, reason: Reason, docs_url: str) -> str:
    """The message with the address of the reason's page at its end; the text is cut, never the address.

    Args:
        message: the text; one that ends with an address of this page already, whatever its place, gets the new one.
        reason: what the page is about; reasons of success and of progress have a page, but need no link.
        docs_url: address or path of the folder of the pages; empty: no link.
    """
    text = re.sub(rf" See \S*{re.escape(reason.value)}\.md$", "", message)
    if reason.kind not in _LINKED or not docs_url:
        return text
    link = f" See {page_of(reason, docs_url)}"
    return shortened(text, MESSAGE_LENGTH - len(link)) + link


def page_of(reason: Reason, docs_url: str) -> str:
    """Address or path of a reason's page.

    Args:
        reason: what the page is about.
        docs_url: address or path of the folder of the pages.
    """
    return f"{docs_url.rstrip('/')}/{reason.value}.md"
