"""Names for runs that were given none: two words that people can say and remember."""

from __future__ import annotations

from orchestrator.chance import chance

_FIRST = (
    "amber ample agile azure bold brave breezy bright brisk calm candid clever copper coral cosmic crisp daring deft "
    "eager early easy fair fleet fond frank fresh gentle glad golden grand green happy hardy humble ivory jolly keen "
    "kind lively loyal lucid lunar mellow merry mild misty modest neat nimble noble olive patient placid plucky polar "
    "polite proud prudent quick quiet rapid ready robust rosy rustic sandy scarlet serene sharp silent silver sleek "
    "smooth snowy solar solid spry steady stellar stout sunny swift tall teal tidy topaz tranquil trusty upbeat vivid "
    "warm wise witty young zesty"
).split()
_SECOND = (
    "alder anchor ant aspen badger beacon bear beaver bee birch bison brook canyon cedar cliff cloud comet coral crane "
    "creek cricket curlew deer delta dolphin dove dune eagle egret elk elm falcon fern finch fjord forest fox gecko "
    "glacier goose grove gull harbor hare hawk hazel heron hill ibex ibis island jay juniper kestrel kite lagoon lake "
    "lark larch lemur linnet lynx magpie maple marlin marten meadow mesa moon moose oak ocean orca osprey otter owl "
    "panda petrel pine plover pond puffin quail rabbit raven reef river robin salmon seal spruce stork swan tern "
    "thrush tide tiger trout valley walnut whale willow wolf wren yak"
).split()


def run_name() -> str:
    """Make a name such as `quiet-heron`. Not unique: ids are."""
    return f"{chance.choice(_FIRST)}-{chance.choice(_SECOND)}"
