"""The configuration under which a template is sent: each has its place by what it is for."""

from __future__ import annotations

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.comparison import COMPARATORS
from ameli_llm.config import RunConfig
from ameli_llm.parts import TEMPLATE
from ameli_llm.resolution import resolve
from ameli_llm.templates.front import EXTRACT
from ameli_llm.templates.load import Template


def placed(config: RunConfig, template: Template) -> RunConfig:
    """The configuration, resolved, that sends ``template`` in the place of the one of its task.

    A comparator of its method takes the place of the others that send a template; an extractor that sends one
    joins where there is none. Without an engine nothing is sent: the configuration is as it was. Raises
    AmeliError as ``resolve`` does.
    """
    resolved = resolve(config)
    if resolved.engine.name == "none":
        return resolved
    if template.front.method in EXTRACT:
        chosen = resolved.attributes
        names = chosen.extractors or ()
        if not any(TEMPLATE in EXTRACTORS.needs(name) for name in names):
            names = (*names, "llm")
        changed = chosen.model_copy(update={"extractors": names, "template": template.name})
        return resolve(resolved.model_copy(update={"attributes": changed}))
    comparators = resolved.comparison.comparators or ()
    if template.front.method not in comparators:
        others = (name for name in comparators if TEMPLATE not in COMPARATORS.needs(name))
        comparators = (*others, template.front.method)
    update = {"comparators": comparators, "template": template.name}
    compared = resolved.comparison.model_copy(update=update)
    return resolve(resolved.model_copy(update={"comparison": compared}))
