"""Small files in the exact layouts of the published benchmarks, written by the libraries those were written with."""

from __future__ import annotations

import base64
import bz2
import json
import pickle
import random
import struct
from collections import OrderedDict

import numpy as np
import torch

SPLITS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}

TSS = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)
SSS = ("8:8:8:8:8", "8:8:8:8:16", "64:64:64:64:64")


# -------------------------------------------------------------------- NATS-Bench and its kin


def result(rng, dataset, seed, epochs, splits, scale=100.0, latency=2):
    """One training run, a `ResultsCount` as its interface stores it."""

    def curve(keys, top):
        return {k: rng.random() * top for k in keys}

    keys = [f"{s}@{e}" for s in splits for e in range(epochs)]
    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": curve(range(epochs), scale),
        "train_acc5es": None,
        "train_losses": curve(range(epochs), 3),
        "train_times": OrderedDict(curve(range(epochs), 30)),
        "arch_config": {"name": "infer.tiny", "channel": 16, "num_cells": 5, "arch_str": "x", "class_num": 10},
        "params": 0.5,
        "flop": 70.25,
        "seed": seed,
        "epochs": epochs,
        "latency": [rng.random() / 50 for _ in range(latency)] if latency else None,
        "eval_names": list(splits),
        "eval_acc1es": curve(keys, scale),
        "eval_times": curve(keys, 5),
        "eval_losses": curve(keys, 3),
    }


def record(rng, index, arch, epochs, seeds, splits=SPLITS, **kwargs):
    """One architecture under one schedule, an `ArchResults` as its interface stores it."""
    return {
        "arch_index": index,
        "arch_str": arch,
        "all_results": {(d, s): result(rng, d, s, epochs, splits[d], **kwargs) for d in splits for s in seeds[d]},
        "dataset_seed": {d: sorted(seeds[d]) for d in splits},
        "clear_net_done": True,
    }


def seeds(*choices):
    return dict(zip(SPLITS, choices, strict=True))


def nats(archs, schedules, seed=0):
    """The whole benchmark as a dictionary."""
    rng = random.Random(seed)
    return {
        "meta_archs": list(archs),
        "total_archs": len(archs),
        "arch2infos": {
            i: OrderedDict((hp, record(rng, i, arch, int(hp), by)) for hp, by in schedules.items())
            for i, arch in enumerate(archs)
        },
        "evaluated_indexes": set(range(len(archs))),
    }


def tss(seed=0):
    three = (777, 888, 999)
    return nats(
        TSS, {"12": seeds((777, 888), (777,), (777,), (777,)), "200": seeds(three, three, three, (777, 888))}, seed
    )


def sss(seed=0):
    one, three = ((777,),) * 4, ((777, 888, 999),) * 4
    return nats(SSS, {"01": seeds(*one), "12": seeds(*one), "90": seeds(*three)}, seed)


def bz2_pickle(path, value, protocol=4):
    with bz2.open(path, "wb") as file:
        pickle.dump(value, file, protocol=protocol)
    return path


def folder(root, benchmark):
    """The `-simple` folder: one file an architecture, and the list of architectures."""
    root.mkdir()
    bz2_pickle(root / "meta.pickle.pbz2", {k: benchmark[k] for k in ("meta_archs", "total_archs")})
    for i, records in benchmark["arch2infos"].items():
        bz2_pickle(root / f"{i:06d}.pickle.pbz2", records)
    return root


def nasbench201_pth(path, zipped, seed=0):
    """NAS-Bench-201 v1: schedules are called "less" and "full", torch wrote it."""
    benchmark = tss(seed)
    for i, records in benchmark["arch2infos"].items():
        benchmark["arch2infos"][i] = {"full": records["200"], "less": records["12"]}
    torch.save(benchmark, path, _use_new_zipfile_serialization=zipped)
    return path


def nb360(dataset, epochs, seed=0):
    """NAS-Bench-360's results: one data set, no validation split, one seed, no latency."""
    rng = random.Random(seed)
    splits, scale = {dataset: ("ori-test",)}, 100.0 if dataset == "ninapro" else 1.0
    records = (record(rng, i, a, epochs, {dataset: (777,)}, splits, scale=scale, latency=0) for i, a in enumerate(TSS))
    return {
        "meta_archs": list(TSS),
        "total_archs": len(TSS),
        "evaluated_indexes": set(range(len(TSS))),
        "arch2infos": {i: OrderedDict({str(epochs): r}) for i, r in enumerate(records)},
    }


# -------------------------------------------------------------------- TransNAS-Bench-101

TASKS = {
    "class_scene": ("top1", "top5", "loss"),
    "class_object": ("top1", "top5", "loss"),
    "room_layout": ("loss", "neg_loss"),
    "jigsaw": ("top1", "top5", "loss"),
    "segmentsemantic": ("acc", "mIoU", "loss"),
    "normal": ("ssim", "l1_loss", "loss", "neg_loss"),
    "autoencoder": ("ssim", "l1_loss", "loss", "neg_loss"),
}
INFO = ("inference_time", "encoder_params", "model_params", "model_FLOPs", "encoder_FLOPs")
ARCHS = {"macro": ("64-1234-basic", "64-4111-basic"), "micro": ("64-41414-1_02_333", "64-41414-0_00_000")}


def transnas(epochs=5, seed=0):
    rng = random.Random(seed)
    names = {t: [f"{s}_{m}" for s in ("train", "valid", "test") for m in ms] for t, ms in TASKS.items()}
    return {
        "metrics_dict": {t: [*n, "time_elapsed"] for t, n in names.items()},
        "info_names": list(INFO),
        "task_list": list(TASKS),
        "data": {
            space: {
                arch: {
                    task: {
                        "encoder_str": arch,
                        "total_epochs": epochs,
                        "model_info": {i: rng.random() * 1e6 for i in INFO},
                        "metrics": {
                            m: [rng.random() * 100 for _ in range(epochs)] for m in [*names[task], "time_elapsed"]
                        },
                    }
                    for task in TASKS
                }
                for arch in archs
            }
            for space, archs in ARCHS.items()
        },
    }


# -------------------------------------------------------------------- HW-NAS-Bench

DEVICES = (
    "edgegpu_latency", "edgegpu_energy", "raspi4_latency", "edgetpu_latency", "pixel3_latency", "eyeriss_latency",
    "eyeriss_energy", "eyeriss_arithmetic_intensity", "fpga_latency", "fpga_energy",
)  # fmt: skip


def hwnas(archs, seed=0):
    rng = np.random.default_rng(seed)
    part = {
        d: {
            "config": [{"name": "infer.tiny", "C": 16, "N": 5, "arch_str": a, "num_classes": 10} for a in archs],
            **{name: rng.random(len(archs)) + 0.1 for name in DEVICES},
        }
        for d in ("cifar10", "cifar100", "ImageNet16-120")
    }
    part["cifar10"]["edgetpu_latency"][3] = -1  # a network that the compiler of the device refused
    part["cifar10"]["raspi4_latency"] = list(part["cifar10"]["raspi4_latency"])
    return {"nasbench201": part, "fbnet": {"raspi4_latency": {"Skip_H32_W32_Cin16_Cout16_stride1": 0.0}}}


# -------------------------------------------------------------------- NAS-Bench-101


def crc32c(data):
    """CRC-32C bit by bit, as its definition reads."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def tfrecord(records):
    out = b""
    for data in records:
        length = struct.pack("<Q", len(data))
        out += length + masked(length) + data + masked(data)
    return out


def model_metrics(params, evaluations):
    """The benchmark's message, written by hand: field tags and wire types of its published definition."""

    def varint(n):
        out = b""
        while n > 0x7F:
            out += bytes([n & 0x7F | 0x80])
            n >>= 7
        return out + bytes([n])

    def evaluation(numbers):
        body = b"".join(bytes([i << 3 | 1]) + struct.pack("<d", v) for i, v in enumerate(numbers, start=1))
        body += b"\x32" + varint(4) + b"ckpt"
        return b"\x0a" + varint(len(body)) + body

    return b"".join(map(evaluation, evaluations)) + b"\x10" + varint(params) + b"\x19" + struct.pack("<d", 99.0)


def nasbench101_row(digest, epochs, matrix, ops, params, evaluations):
    message = base64.b64encode(model_metrics(params, evaluations)).decode()
    return json.dumps([digest, epochs, matrix, ops, message]).encode()
