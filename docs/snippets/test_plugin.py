"""The whole contract of a metric, run against a plug-in."""

from ogive._registry import load_plugin
from ogive.metrics import Context
from ogive.spaces import get_space
from ogive.tasks import get_task
from ogive.testing.metric import MetricSuite

load_plugin("examples/plugins/metric.py")


class TestMine(MetricSuite):
    def make(self):
        return "skips", get_space("nasbench201:C=4,N=1"), Context(task=get_task("digits"))
