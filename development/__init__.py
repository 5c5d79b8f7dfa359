"""Real parts on a developer's machine: a Kubernetes control plane, MariaDB, and processes that end with their parent.

Used by the tests and by developers; never shipped in the wheel or the image.
"""
