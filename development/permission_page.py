"""`docs/permissions.md`: who may do what and why, made of the manifests and the comments above their rules.

python -m development.permission_page [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from development.generated_file import write_or_check
from development.stand import SHIPPED_RIGHTS

ROOT: Final = Path(__file__).resolve().parent.parent
MANIFESTS: Final = ROOT / "manifests"
ACCESS: Final = MANIFESTS / "samples" / "access.yaml"
FILES: Final = (*SHIPPED_RIGHTS, "overlays/one-namespace/appliance-events.yaml")
PAGE: Final = ROOT / "docs" / "permissions.md"
DESCRIPTION: Final = "kubernetes.io/description"

_INTRODUCTION: Final = """\
# Permissions

Generated from `manifests` by `make generate`.

An Appliance belongs to administrators: addresses, secrets, which namespaces may use it and what may be waived on it. A
cleanup only names one. Who may do what is decided in three places:

| where | decides |
|---|---|
| RBAC | who may read and write cleanups and Appliances |
| admission policies | who may make a cleanup act on which appliance, who may waive, and whose name it carries |
| the operator | whether the Appliance allows the namespace and the waiver; reason `NotPermitted` if not |
"""

_BINDING: Final = """
## Handing it out

`manifests/samples/access.yaml`:

```yaml
{access}```

`kubectl auth can-i use appliances.failover.ossea.io/default` tells whether it worked.

- **Stopping needs no more than access.** Whoever may change cleanups may set the annotation
  `failover.ossea.io/suspended: "true"` and may delete; only to go on needs the right to use the appliance.
- **GitOps.** The controller's own account is the one that is asked, so it needs `use`, and `waive` where waivers are kept
  in Git; who may merge there decides then. An account with every verb (`*`), such as `cluster-admin`, has both. Leave
  `spec.requestedBy` out of manifests in Git. Applying an unchanged manifest again never needs either right.
- **edit and admin** of a namespace include what is aggregated to `view`, which is reading, and nothing more.
"""

_OLDER: Final = """
## Older Kubernetes

The policies need Kubernetes 1.31 or newer. Where they are not installed (below 1.30 the API server does not know their
kind, and `kubectl apply -k` says so after it applied the rest), everybody who may create cleanups in an allowed namespace
may use the Appliance and grant each waiver that the Appliance allows, `requestedBy` is an unchecked remark, and the
operator's `patch` would reach a spec. What the operator enforces itself still holds: allowed namespaces, allowed waivers,
and Secrets from its own namespace only. Keep `allowedNamespaces` and `waivers` short there, and give
`fec-cleanup-operator` only to people who may waive.
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One document of a manifest, with the comments that stand above the items of a list in it.

    Attributes:
        document: what it says.
        node: the same with places in the text.
        lines: the whole file.
    """

    document: Mapping[str, Any]
    node: yaml.Node
    lines: tuple[str, ...]

    def items(self, *path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Items of the list at a path, each with its reason.

        Raises:
            ValueError: an item has no comment above it.
        """
        found: Any = self.document
        node = self.node
        for key in path:
            found = found[key]
            node = next(value for name, value in node.value if name.value == key)
        for item, place in zip(found, node.value, strict=True):
            line = place.start_mark.line
            comment: list[str] = []
            while self.lines[line - 1].lstrip().startswith("#"):
                line -= 1
                comment.insert(0, self.lines[line].lstrip().removeprefix("#").strip())
            if not comment:
                name = self.document["metadata"]["name"]
                raise ValueError(f"{self.document['kind']} {name}: no reason above line {place.start_mark.line + 1}")
            yield item, " ".join(comment)


def sources(kind: str, *, manifests: Path = MANIFESTS) -> list[Source]:
    """All documents of a kind in the files with rights, in their order."""
    found = []
    for file in FILES:
        text = (manifests / file).read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        for document, node in zip(yaml.safe_load_all(text), nodes, strict=True):
            if document["kind"] == kind:
                found.append(Source(document, node, tuple(text.splitlines())))
    return found


def page(manifests: Path = MANIFESTS) -> str:
    """The whole page.

    Raises:
        ValueError: a rule has no reason.
    """
    roles = sources("ClusterRole", manifests=manifests)
    people = [role for role in roles if role.document["metadata"]["name"].startswith("fec-")]
    operator = [role for role in roles if role not in people] + sources("Role", manifests=manifests)
    return "".join(
        [
            _INTRODUCTION,
            "\n## Roles for people\n",
            *(line for role in people for line in _role(role)),
            _BINDING.format(access=ACCESS.read_text(encoding="utf-8")),
            "\n## Admission policies\n",
            *(line for policy in sources("ValidatingAdmissionPolicy", manifests=manifests) for line in _policy(policy)),
            "\n## The operator and the console\n",
            *(line for role in operator for line in _role(role)),
            _OLDER,
        ]
    )


def _role(role: Source) -> Iterator[str]:
    yield _heading(role)
    yield "\n| verbs | on | why |\n|---|---|---|\n"
    for rule, reason in role.items("rules"):
        on = [_resource(group, resource) for group in rule["apiGroups"] for resource in rule["resources"]]
        names = f" named {_code(rule['resourceNames'])}" if "resourceNames" in rule else ""
        yield f"| {_code(rule['verbs'])} | {_code(on)}{names} | {reason} |\n"


def _policy(policy: Source) -> Iterator[str]:
    yield _heading(policy)
    yield "\n| asks for | at |\n|---|---|\n"
    for validation, reason in policy.items("spec", "validations"):
        verbs = re.findall(r"\.check\('([a-z]+)'\)", validation["expression"])
        yield f"| {_code(verbs) or 'the truth'} | {reason} |\n"


def _resource(group: str, resource: str) -> str:
    """As `kubectl` writes it: `appliances.failover.ossea.io/status`."""
    plural, slash, subresource = resource.partition("/")
    return f"{plural}.{group}{slash}{subresource}" if group else resource


def _heading(source: Source) -> str:
    metadata = source.document["metadata"]
    labels = metadata.get("labels", {})
    aggregated = sorted(label.rpartition("aggregate-to-")[2] for label in labels if "/aggregate-to-" in label)
    where = f", aggregated to {_code(aggregated)}" if aggregated else ""
    return f"\n### {source.document['kind']} `{metadata['name']}`{where}\n\n{metadata['annotations'][DESCRIPTION]}\n"


def _code(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())
