"""How good, how dear."""

from ogive.metrics.base import METRICS, Constraint, Context, Cost, Metric, Scores, evaluate, metric, resolve

__all__ = ["METRICS", "Constraint", "Context", "Cost", "Metric", "Scores", "evaluate", "metric", "resolve"]
