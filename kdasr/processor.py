"""What this processor can do."""

from __future__ import annotations

import torch


def has_bf16() -> bool:
    """Whether it multiplies bfloat16 numbers (AVX512-BF16, AMX); elsewhere they are slower than float32."""
    return any(getattr(torch.cpu, f"_is_{name}_supported")() for name in ("avx512_bf16", "amx_tile"))
