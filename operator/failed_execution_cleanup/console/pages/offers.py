"""What a caller is offered: what he may not do is not shown, and refused if it is tried all the same."""

from __future__ import annotations

from dataclasses import dataclass

from failed_execution_cleanup.console.access_review import (
    change_cleanups,
    create_cleanups,
    patch_cleanups,
    use_appliance,
    waive_stops,
)
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.resources.appliance import Appliance

__all__ = ["CleanupOffers", "cleanup_offers", "homes", "may_clean", "may_waive"]


@dataclass(frozen=True, slots=True)
class CleanupOffers:
    """What a caller may ask of a cleanup, as far as his rights go.

    Attributes:
        pause: hold it, and nothing else.
        proceed: set it going: resume, re-run, approve.
        amend: change its spec, which a suspension there and a waiver take.
    """

    pause: bool
    proceed: bool
    amend: bool


async def homes(services: Services, caller: Caller, appliance: Appliance) -> tuple[str, ...]:
    """Namespaces in which a caller may place cleanups of an Appliance, the usual one first; none where there is no cluster.

    Raises:
        KubernetesError: the API server could not be asked.
    """
    if services.in_the_name_of is None:
        return ()
    spec = appliance.spec
    allowed = spec.allowed_namespaces or (services.settings.namespace,)
    usual = spec.detection.namespace
    ordered = dict.fromkeys((*((usual,) if usual is not None else ()), *sorted(allowed)))
    rights = {create_cleanups(namespace): namespace for namespace in ordered}
    return tuple(rights[right] for right in await services.reviews.having(caller, rights))


async def may_clean(services: Services, caller: Caller, appliance: Appliance) -> bool:
    """Whether a caller may have VMs of an Appliance cleaned up.

    Raises:
        KubernetesError: the API server could not be asked.
    """
    if not await services.reviews.allows(caller, use_appliance(appliance.metadata.name)):
        return False
    return services.in_the_name_of is None or bool(await homes(services, caller, appliance))


async def may_waive(services: Services, caller: Caller, namespace: str) -> bool:
    """Whether a caller may take responsibility for stops of cleanups in a namespace.

    Raises:
        KubernetesError: the API server could not be asked.
    """
    wanted = (waive_stops(namespace), change_cleanups(namespace))
    return len(await services.reviews.having(caller, wanted)) == len(wanted)


async def cleanup_offers(services: Services, caller: Caller, namespace: str, appliance: str) -> CleanupOffers:
    """What a caller may ask of a cleanup.

    Raises:
        KubernetesError: the API server could not be asked.
    """
    patch, change, use = patch_cleanups(namespace), change_cleanups(namespace), use_appliance(appliance)
    had = set(await services.reviews.having(caller, (patch, change, use)))
    return CleanupOffers(pause=patch in had, proceed={patch, use} <= had, amend={patch, change, use} <= had)
