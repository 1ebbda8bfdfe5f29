"""How long an exported policy takes to answer."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import onnxruntime as ort

RUNS: Final = 200
DTYPES: Final = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def policy_ms(exported: bytes) -> float:
    """The median of one observation's answer on one thread, as the pilot asks [ms]. It is all zeros."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    feeds = {i.name: np.zeros((1, *i.shape[1:]), DTYPES[i.type]) for i in session.get_inputs()}
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        session.run(["action"], feeds)
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))
