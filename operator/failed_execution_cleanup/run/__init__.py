"""The engine: claim a VM, observe, decide, perform, until done. Shared by operator, command line and break-glass.

It knows nothing of Kubernetes: who asks hands in a `Request` and a `Reporter`.
"""
