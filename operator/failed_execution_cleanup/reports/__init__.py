"""The report of one cleanup, for the ticket and for the file: who asked, what was found, what was done, how it ended. Pure.

    FailedExecutionCleanup ─► Report ─► as_markdown | as_json | as_html

Whatever names and messages hold is shown as text: neither Markdown nor HTML takes it for markup.
"""

from failed_execution_cleanup.reports.html import as_html
from failed_execution_cleanup.reports.json_document import as_document, as_json
from failed_execution_cleanup.reports.markdown import as_markdown
from failed_execution_cleanup.reports.report import (
    GoalReport,
    JobReport,
    PhaseReport,
    Report,
    Verdict,
    report_of,
)

__all__ = [
    "GoalReport",
    "JobReport",
    "PhaseReport",
    "Report",
    "Verdict",
    "as_document",
    "as_html",
    "as_json",
    "as_markdown",
    "report_of",
]
