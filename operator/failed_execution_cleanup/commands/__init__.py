"""The commands of `fec` on a cluster: plan, clean up, follow, look. `fec local` is in `local`, `cli` puts all together.

command line ─► client ─► what the resource says ─► table | JSON | YAML, exit code
"""
