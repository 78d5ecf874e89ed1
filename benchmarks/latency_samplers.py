"""Which architectures to measure: samplers on eight published devices, by the rank correlation on all others.

python benchmarks/latency_samplers.py LATENCY.csv.gz --seeds 5 --predictors pool_gp
"""

from __future__ import annotations

import argparse

import numpy as np

from ogive.methods.one_proxy import candidates_of, choose_pool
from ogive.metrics.devices import DeviceTable
from ogive.predictors.latency import get_latency_predictor
from ogive.predictors.monotonicity import srcc
from ogive.predictors.samplers import choose

TARGETS = (
    "hwnas_edgegpu", "hwnas_eyeriss", "hwnas_pixel3", "nnmeter_myriadvpu", "eagle_gtx1080ti", "eagle_sd855_dsp_int8",
    "eagle_jetsonnano_fp16", "eagle_edgetpu_int8",
)  # fmt: skip
SAMPLERS, SIZES = ("random", "k_means", "d_optimal"), (10, 20)


def main() -> None:
    """Print a row a predictor, sampler and number of measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latency")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--predictors", nargs="+", default=["pool_gp"])
    given = parser.parse_args()
    table = DeviceTable.read(given.latency, "nasbench201")
    found: dict[tuple[str, str, int], list[list[float]]] = {}
    for target in TARGETS:
        # The edge TPU lacks the latencies of what it cannot compile.
        pool = [name for name in choose_pool(table, target)[0] if name != "hwnas_edgetpu"]
        candidates, latency = candidates_of(table, pool), table.device(target).latency
        for sampler in SAMPLERS:
            rows: dict[tuple[str, str, int], list[float]] = {}
            for seed in range(given.seeds):
                rng, index = np.random.default_rng(1000 + seed), np.empty(0, dtype=np.intp)
                for n in SIZES:
                    index = np.append(index, choose(sampler, candidates, n - len(index), measured=index, rng=rng))
                    rest = np.setdiff1d(np.arange(len(table)), index)
                    for predictor in given.predictors:
                        model = get_latency_predictor(predictor).fit(candidates, index, latency[index])
                        score = srcc(model.predict()[0][rest], latency[rest])
                        rows.setdefault((predictor, sampler, n), []).append(score)
            for key, scores in rows.items():
                found.setdefault(key, []).append(scores)
    for (predictor, sampler, n), scores in sorted(found.items()):
        means = np.array(scores).mean(axis=1)
        print(f"{predictor:8s} {sampler:10s} n={n:<3d} mean {means.mean():.4f}  worst device {means.min():.3f}")


if __name__ == "__main__":
    main()
