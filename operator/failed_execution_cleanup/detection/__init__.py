"""The scan of one appliance: which failovers hang, and which finished cleanups have drifted.

    overview of the database + lists of OSSEA ─► suspicion ─► observe_many ─► stuck | drift ─► ScanResult

Reads only. A constant number of queries and list calls, however many VMs there are; the core judges every world, as for a single
cleanup. What is done with the result is the controller's business.
"""
