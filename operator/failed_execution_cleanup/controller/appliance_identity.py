"""One appliance, one Appliance: of two resources that mean the same appliance, the younger is refused.

An appliance is known by what its own database says it is: `ossea_configs.oma_vm_id`, the cloud's id of the OMA's VM (appliance facts
2.3). That id is unique in the cloud. The same database under another host name, address or user has the same one, and so has a replica
or a restored copy of it, through which the same volumes would be moved. Nothing is written for it. The server's own marks tell less:
MariaDB has no server uuid, and host name, `server_id` and `datadir` are the same on every OMA made from one image.
"""

from __future__ import annotations

from collections.abc import Iterable

from failed_execution_cleanup.access.doors import Inconsistent
from failed_execution_cleanup.resources.appliance import Appliance


def require_eldest(appliance: Appliance, every: Iterable[Appliance], oma_vm_id: str) -> None:
    """Make sure that no older Appliance means the same appliance.

    What the others mean is taken from their status, where each look at them writes it; one that was never reached claims nothing.
    One that is being deleted counts until it is gone.

    Args:
        appliance: the one to be used.
        every: all there are, read just now.
        oma_vm_id: what its database says it is, read just now; empty means that nothing can be told.

    Raises:
        Inconsistent: there is an older one; both are named.
    """
    if not oma_vm_id:
        return
    same = [other for other in every if other.status.oma_vm_id == oma_vm_id and _age(other) < _age(appliance)]
    if same:
        eldest = min(same, key=_age)
        raise Inconsistent(
            f"Appliance {appliance.metadata.name} is the appliance VM {oma_vm_id} (ossea_configs.oma_vm_id), which the older Appliance "
            f"{eldest.metadata.name} is already: they use the same database or a copy of it.",
            system="OMA database",
            remedy="An administrator deletes one of them, or corrects the id in the database of the one that is another appliance.",
        )


def _age(appliance: Appliance) -> tuple[str, str]:
    """Orders Appliances from the oldest to the youngest; the uid decides within one second."""
    created = appliance.metadata.creation_timestamp
    return (created.isoformat() if created is not None else "", appliance.metadata.uid)
