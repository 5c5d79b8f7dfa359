"""The two custom resources: models, conditions, reasons, names and their CustomResourceDefinitions.

A leaf: it imports nothing else of the product and no client library, so that controller, console and command line can
all use it.
"""
