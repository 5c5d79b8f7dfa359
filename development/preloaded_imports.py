"""What `development.preloaded` imports once, before programs are forked: all that operator, console and simulators import when they run."""

import gc
import importlib
import pkgutil
from typing import Final

from failed_execution_cleanup.appliance import http_exchange

_PACKAGES: Final = ("failed_execution_cleanup", "appliance_simulator", "kubernetes_emulator")
_LOADED_LATE: Final = (
    "anyio._backends._asyncio",
    "httpcore",
    "sqlalchemy.dialects.mysql.asyncmy",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)
"""What libraries import at first use."""

# By name, because an import that nobody uses is taken for a mistake and removed.
for _package in _PACKAGES:
    for _module in pkgutil.walk_packages(importlib.import_module(_package).__path__, f"{_package}."):
        if not _module.name.endswith(".__main__"):
            importlib.import_module(_module.name)
for _name in _LOADED_LATE:
    importlib.import_module(_name)

# To read the machine's certificates takes longer than most modules; http_exchange keeps them.
http_exchange.usual_authorities()

# What lives now lives for ever: collections in the forked processes need not look at it, nor copy its pages.
gc.freeze()
