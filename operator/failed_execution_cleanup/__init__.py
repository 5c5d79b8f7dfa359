"""A Kubernetes operator that repairs half-dead disaster-recovery failovers without losing replicated data."""

__version__ = "0.1.0"
