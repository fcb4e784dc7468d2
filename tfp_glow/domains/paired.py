"""Training by pairs: maximum likelihood of both sides together."""

from __future__ import annotations

from tfp_glow.domains.objective import Objective

__all__ = ["Paired"]


class Paired(Objective):
    """loss = -likelihood_weight * log p(x) / D_x - log p(y given x) / D_y, in nats."""

    takes_pairs = True
    suffixes = ("x", "y_given_x")

    def losses(self, x, y, matched, target, weights):
        y_given_x = y.log_prob + self._tie.log_ratio(x.tied, y.tied)
        loss_x, loss_y = self._per_dim(x.log_prob, y_given_x, weights)
        return self._likelihood_weight * loss_x + loss_y
