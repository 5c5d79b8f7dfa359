"""The report as one HTML file that can be printed: no script, nothing fetched, everything escaped."""

from __future__ import annotations

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from failed_execution_cleanup.reports import layout
from failed_execution_cleanup.reports.report import Report

_TEMPLATES: Final = Environment(
    loader=PackageLoader("failed_execution_cleanup.reports", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_COLOURS: Final = {
    "yes": "good",
    "Completed": "good",
    "no": "bad",
    "Failed": "bad",
    "Running": "open",
    "Pending": "soft",
    "Skipped": "soft",
    layout.UNKNOWN: "soft",
}
"""Words in a cell of their own that are easier found in colour."""


def as_html(report: Report) -> str:
    """The report as one HTML document."""
    return _TEMPLATES.get_template("report.html").render(
        report=report,
        colours=_COLOURS,
        remarks=layout.remarks(report),
        facts=layout.facts(report),
        sections=layout.sections(report),
    )
