"""How good, how dear."""

from ogive.metrics.base import METRICS, Constraint, Context, Cost, Metric, metric, resolve
from ogive.metrics.evaluate import Scores, evaluate

__all__ = ["METRICS", "Constraint", "Context", "Cost", "Metric", "Scores", "evaluate", "metric", "resolve"]
