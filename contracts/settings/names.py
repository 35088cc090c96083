"""The names of settings, as the file and as the environment write them; which one was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from pydantic import BaseModel

PREFIX = "EVERFRESH_"
FILE_VARIABLE = "EVERFRESH_CONFIG"
RUN_VARIABLE = "EVERFRESH_RUN_ID"
"""By it the processes of a run are found; see ``infra.processes``."""

_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Kubernetes tells every container of each Service by such variables. One of them may be called
everfresh."""


def unknown_variables(
    tree: type[BaseModel], environment: Mapping[str, str], gone: Mapping[str, str]
) -> list[str]:
    """What is wrong with each variable ``EVERFRESH_…`` that is no setting of the tree; ``gone`` has
    a sentence for each setting that was one."""
    groups = {f"{PREFIX}{name.upper()}" for name in tree.model_fields}
    known = {variable(name) for name in leaves(tree)} | {FILE_VARIABLE, RUN_VARIABLE}
    sentences = {variable(name): sentence for name, sentence in gone.items()}
    return [
        f"{name} in the environment: "
        f"{sentences.get(name.upper()) or no_such_setting(name.upper(), known)}"
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX)
        and name.upper() not in known | groups
        and not _tells_of_a_service(name, value)
    ]


def variable(name: str) -> str:
    """``serving.port`` as the environment writes it."""
    return PREFIX + name.upper().replace(".", "__")


def leaves(tree: type[BaseModel]) -> Iterator[str]:
    """All settings, such as ``serving.port``."""
    for name, field in tree.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{name}.{leaf}" for leaf in leaves(kind))
        else:
            yield name


def no_such_setting(name: str, known: Iterable[str]) -> str:
    """The sentence about a name that is none of ``known``: it names the nearest of them."""
    near = get_close_matches(name, list(known), n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"there is no such setting; {meant}`everfresh settings` lists all"


def _tells_of_a_service(name: str, value: str) -> bool:
    if name.endswith("_PORT") and re.match("(tcp|udp|sctp)://", value):
        return True
    return bool(_SERVICE.fullmatch(name.removeprefix(PREFIX)))
