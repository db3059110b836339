"""Writes an adapter as a folder that ``peft`` puts onto the exported base.

adapter_config.json, adapter_model.safetensors   rank, alpha and layers; the thin matrices
README.md, lineage.json                          the lineage, and every file's sha256
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.exports.huggingface import base_of, drafted, layout_of, write_json, write_lineage
from pipelines.exports.model_card import adapter_card

if TYPE_CHECKING:
    from model.interop.adapters import Thin
    from pipelines.lineage.trace import Node
    from pipelines.training.artefacts import Checkpoint

BEFORE = "base_model.model."  # PEFT's names of the layers of a model begin so


def export_adapter(checkpoint: Checkpoint, lineage: Node, folder: Path) -> str:
    """Write an adapter into ``folder`` and return the key of the weights that it adapts.

    Raises ValueError for whole weights, for a folder with content, and for a network that no stock
    class holds.
    """
    if not checkpoint.is_adapter:
        raise ValueError(
            f"{checkpoint.key}: has whole weights and is no adapter; leave --adapter out, or train"
            " it with method: {kind: lora}"
        )
    base = base_of(checkpoint, lineage).artefact.key
    with drafted(folder) as draft:
        _write(checkpoint, lineage, base, draft)
    return base


def _write(checkpoint: Checkpoint, lineage: Node, base: str, folder: Path) -> None:
    from safetensors.torch import save

    from model.interop.adapters import adapter_to

    layout, config = layout_of(checkpoint)
    thin = adapter_to(layout, checkpoint.tensors(), config)
    tensors = {
        f"{BEFORE}{layer}.lora_{letter}.weight": matrix
        for layer, matrices in thin.items()
        for letter, matrix in zip("AB", matrices, strict=True)
    }
    content = save(tensors, metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").write_bytes(content)
    is_transposed = layout.model_type == "gpt2"  # its layers are convolutions
    options = _config(checkpoint.config()["adapter"], thin, base, is_transposed=is_transposed)
    write_json(folder / "adapter_config.json", options)
    card = adapter_card(lineage, layout.class_name, base)
    (folder / "README.md").write_text(card, "utf-8")
    write_lineage(lineage, folder)


def _config(
    adapter: dict[str, Any], thin: dict[str, Thin], base: str, *, is_transposed: bool
) -> dict[str, Any]:
    """PEFT's configuration; a layer that holds several of ours has a rank and an alpha of its own,
    so that the scale is the same."""
    rank, alpha = adapter["rank"], adapter["alpha"]
    # Of GPT-2 the last part alone would also name a layer of another part of the block.
    last = {layer: ".".join(layer.split(".")[-2:]) for layer in thin}
    wider = {last[layer]: matrices.rank for layer, matrices in thin.items()}
    wider = {name: size for name, size in wider.items() if size != rank}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "rank_pattern": wider,
        "alpha_pattern": {name: alpha * size / rank for name, size in wider.items()},
        "target_modules": sorted(set(last.values())),
        "fan_in_fan_out": is_transposed,
        "bias": "none",
    }
