"""The unit of reversible networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfp_glow.bijectors.chain import Chain
from tfp_glow.bijectors.coupling import Coupling
from tfp_glow.core.naming import unique_name

__all__ = ["ReversibleUnit"]


def ReversibleUnit(  # noqa: N802, since it stands for a class
    f: Callable,
    g: Callable,
    *,
    event_ndims: int | None = None,
    event_shape: int | Sequence[int] | None = None,
    dtype: str = "float32",
    name: str | None = None,
) -> Chain:
    """Two additive couplings on halves of the channels, as a `Chain`.

        inverse:  y1 = x1 + f(x2),   y2 = x2 + g(y1)
        forward:  x2 = y2 - g(y1),   x1 = y1 - f(x2);    both log-dets are 0.

    Encoding, TFP's `inverse`, is the direction in which a network of such units is evaluated.

    Args:
      f: Built Keras layer or any callable from half of the channels to the other half's shape, or a
        factory of one; see `Coupling`.
      g: The same.
      event_ndims: 1 for vectors, 2 for tokens, 3 for images; that of `event_shape`, or 1, when
        omitted.
      event_shape: Shape of an event, which a factory needs.
      dtype: dtype of the values; the networks may compute in another.
      name: Name of the chain.

    Shapes: `[..., *event]` both ways, the log-det `[...]`.

    Raises:
      ValueError, TypeError: As `Coupling` does.

    Example:

        unit = ReversibleUnit(MLP, MLP, event_shape=4)
        y = unit.inverse(x)

    References:
      Gomez, Ren, Urtasun and Grosse, "The Reversible Residual Network: Backpropagation Without
      Storing Activations", arXiv:1707.04585, equations 6 to 9.
    """
    options = {"event_ndims": event_ndims, "event_shape": event_shape, "dtype": dtype}
    couplings = [
        Coupling(network, law="additive", mask=mask, **options)
        for network, mask in ((f, "second_half"), (g, "first_half"))
    ]
    return Chain(couplings, name=name or unique_name(ReversibleUnit))
