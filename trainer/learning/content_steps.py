"""What a window does with the contents of items, around its training.

Before it: how often cold items are chosen, told by targets that nobody has learnt. In it new rows
begin where their contents point. After it: the map from contents to rows, made anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everfresh.contracts.event import ItemId
from everfresh.contracts.settings import Settings
from everfresh.contracts.window import DecodedExample
from everfresh.model.content.features import Features
from everfresh.model.content_learning import Find, learn_contents, learnt_offset
from everfresh.model.network.batches import derive_seed
from everfresh.model.recommender import Recommender

_CONTENTS, _OFFSET = 10, 11
_OFTEN = 8


def contents_of_new(
    recommender: Recommender, examples: Sequence[DecodedExample], find: Find
) -> dict[ItemId, Features]:
    """What is known of the targets' items that have no row yet."""
    vocabulary = recommender.vocabulary
    new = {t.item for example in examples for t in example.targets if t.item not in vocabulary}
    known = ((item, find(item)) for item in sorted(new, key=repr))
    return {item: each for item, each in known if each is not None}


def weigh_contents(
    recommender: Recommender,
    examples: Sequence[DecodedExample],
    cold: Mapping[ItemId, Features],
    settings: Settings,
    number: int,
) -> float:
    """The offset of ``cold`` items after a window that nobody has learnt yet."""
    seed = derive_seed(settings.trainer.seed, number, _OFFSET)
    return learnt_offset(recommender, examples, cold, seed)


def renew_contents(
    recommender: Recommender, find: Find, settings: Settings, number: int, offset: float
) -> None:
    """The map, by the rows that a window has left.

    Made anew at first, and later every eighth time: it costs some tenths of a second, and it hardly
    moves.
    """
    content = recommender.content
    if content and number >= _OFTEN and number % _OFTEN:
        recommender.content = content.with_offset(offset)
        return
    seed = derive_seed(settings.trainer.seed, number, _CONTENTS)
    learn_contents(recommender, find, seed, offset)
