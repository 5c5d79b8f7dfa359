"""What is generated of the Helm chart: `python -m development.chart [--check]`.

development.chart.values     the values as models ─┬─▶ values.yaml, values.schema.json
controller and console settings ───────────────────┘   and the table in docs/install.md
crds/, manifests/            ──────────────────────▶   files/, byte by byte; templates only add names, labels and namespaces
version, crds/, samples      ──────────────────────▶   Chart.yaml
"""
