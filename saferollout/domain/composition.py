"""Composition: what a deployment is made of as Azure shows it, short enough for a tag of the endpoint."""

import re
from typing import Self

from saferollout.domain.endpoint import DeploymentState, Value

PART_LENGTH = 40
"""So much of each part: all of them, with the digest, fit into a tag of 256 characters."""
_ANONYMOUS = re.compile(r"(?:CliV2AnonymousEnvironment:)?([0-9a-f]{8})[0-9a-f-]{24,}(?::1)?")


class Composition(Value):
    """What a deployment is made of."""

    digest: str
    """Over all of it, and in full."""
    model: str = ""
    code: str = ""
    environment: str = ""
    instance_type: str = ""
    settings: str = ""
    """Of variables, probes and what else is set, a digest only: there may be a secret among them."""

    @classmethod
    def of(cls, deployment: DeploymentState) -> Self:
        """What Azure shows of a deployment."""
        return cls(
            digest=deployment.digest,
            model=_short(deployment.model),
            code=_short(deployment.code),
            environment=_short(deployment.environment),
            instance_type=_short(deployment.instance_type),
            settings=deployment.settings,
        )

    def to_tag(self) -> str:
        """All of it as a tag holds it."""
        return "|".join(self.model_dump().values())

    @classmethod
    def from_tag(cls, text: str) -> Self:
        """Read what `to_tag` wrote; of anything else nothing is like it."""
        return cls(**dict(zip(cls.model_fields, text.split("|"), strict=False)))

    def change_to(self, new: "Composition") -> str:
        """How the other one differs from it, old → new, with the digests of both."""
        old_parts, new_parts = (each.model_dump(exclude={"digest"}) for each in (self, new))
        parts = [
            f"{name.replace('_', ' ')} {old or 'none'} → {new_parts[name] or 'none'}"
            for name, old in old_parts.items()
            if old != new_parts[name]
        ]
        return f"{', '.join([*parts, ''])}composition {self.digest} → {new.digest}"


def brief(version: str) -> str:
    """An asset's name and version short enough for a form: an anonymous asset's is a long hash."""
    found = _ANONYMOUS.fullmatch(version)
    return f"{found[1]}…" if found else version


def _short(version: str) -> str:
    text = brief(version).replace("|", "/")
    return text if len(text) <= PART_LENGTH else f"{text[: PART_LENGTH - 1]}…"
