"""In what precision matrix products read their inputs."""

from __future__ import annotations

from typing import Literal

import torch


def operand_type(wanted: Literal["float32", "bfloat16"]) -> torch.dtype:
    """bfloat16 (8 bits of mantissa) where it is wanted and the processor has instructions for it (AVX-512
    BF16 or AMX); else the default type."""
    if wanted == "bfloat16" and torch.get_default_dtype() == torch.float32 and _has_bfloat16():
        return torch.bfloat16
    return torch.get_default_dtype()


def _has_bfloat16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
