"""Break-glass: the same engine without Kubernetes, for the day the cluster is what is down. See docs/break-glass.md.

file of the Appliance ─► doors ─► run/ under the same claim in the appliance's database ─► lines on a terminal, exit code
"""
