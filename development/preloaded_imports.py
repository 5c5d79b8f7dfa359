"""What `development.preloaded` imports once, before programs are forked: all that operator, console and simulators import when they run."""

import gc

# What lives now lives for ever: collections in the forked processes need not look at it, nor copy its pages.
gc.freeze()
