"""`python -m development.demo`: the five test failovers that got stuck on 2025-09-27, cleaned up before your eyes.

A pretend appliance with the five VMs, a Kubernetes API and the operator run as processes of their own; the screen shows
what `kubectl get fec` would, and the end is judged by looking into the cloud and the database, not by the status.
"""
