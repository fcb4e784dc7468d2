"""The cache that lets one network evaluation serve a value and its log-det."""

import tensorflow as tf
from tensorflow_probability.python.internal import cache_util

__all__ = ["OnePassCache"]

_GRAPH_ATTRIBUTE = "_tfp_glow_bijector_cache"


class OnePassCache(cache_util.BijectorCacheWithGreedyAttrs):
    """TFP's greedy cache, kept a graph at a time and never older than its output.

    The stock cache has one storage for the whole program. That pins every traced graph
    in memory, hands a tensor made inside `tf.cond` to the code outside of it, and keeps a
    log-det after the value it came with is gone, so that an assigned variable leaves it
    stale. Here symbolic entries live on the graph that owns their tensors and go with it,
    and the attributes of a dead output are dropped.
    """

    @property
    def storage(self) -> cache_util.EphemeralDict:
        if tf.executing_eagerly():
            return self._eager_storage
        graph = tf.compat.v1.get_default_graph()
        if not hasattr(graph, _GRAPH_ATTRIBUTE):
            setattr(graph, _GRAPH_ATTRIBUTE, cache_util.EphemeralDict())
        return getattr(graph, _GRAPH_ATTRIBUTE)

    @storage.setter
    def storage(self, storage: cache_util.EphemeralDict) -> None:
        self._eager_storage = storage

    def __get__(self, bijector, bijector_class=None) -> "OnePassCache":
        return type(self)(
            forward_name=self._forward_name,
            inverse_name=self._inverse_name,
            bijector=bijector,
            bijector_class=bijector_class,
            storage=self._eager_storage,
        )

    def _attributes(self, input, fn_name, **kwargs) -> dict:  # noqa: A002
        edge = self._get_or_create_edge(input, fn_name, kwargs)
        if not edge.output_ref:
            edge.attributes.clear()
        return edge.attributes
