"""`python -m failed_execution_cleanup`."""

from failed_execution_cleanup.cli import main

main()
