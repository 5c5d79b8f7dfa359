"""Tools that exist only as Go source, built once: `python -m development.go_tools build`, then `find_tool("promtool")`."""

from development.go_tools.tools import TOOLS, build_tool, find_tool

__all__ = ["TOOLS", "build_tool", "find_tool"]
