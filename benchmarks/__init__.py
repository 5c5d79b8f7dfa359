"""How fast and how steady the operator is: measured on real parts, told as ratios.

python -m benchmarks run --results DIR    # or `make bench`; `--short` for the form CI runs
python -m benchmarks check --results DIR  # or `make bench-check`: the results against limits.toml
python -m benchmarks report --results DIR # draws docs/benchmarks/*.svg and writes all figures

`README.md` tells the method of each benchmark and why each limit is what it is.
"""
