"""Where models are computed, and in which precision their matrix products are."""

import torch

BF16_UNITS = ("avx512_bf16", "amx_bf16")  # of a CPU


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16_units(where: torch.device) -> bool:
    """Whether it multiplies in bf16: a GPU does, and a CPU with AVX512-BF16 or AMX."""
    if where.type != "cpu":
        return True
    present = torch.cpu.get_capabilities()
    return any(present.get(unit) is True for unit in BF16_UNITS)


def mixed_precision(where: torch.device, wanted: bool = True) -> torch.autocast:
    """A block whose matrix products are in bf16 where the device has units for them.

    They are several times as quick there. Elsewhere, and where it is not ``wanted``, all stays
    fp32.
    """
    return torch.autocast(where.type, torch.bfloat16, enabled=wanted and has_bf16_units(where))
