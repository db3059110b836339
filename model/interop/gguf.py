"""The Llama family in the names and arrangement of llama.cpp's GGUF files.

The options are the file's metadata, plus ``tensors``, its tensors by name. Files of the ``llama``
architecture hold query and key rows in the order of Meta's own code, which rotates neighbours
(2i, 2i + 1). The others hold them in Hugging Face's order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from model.architectures.gpt.config import PRESETS, GPTConfig
from model.interop.layout import Held, Layout, Options, halves_to_pairs, only, pairs_to_halves

FREQUENCIES = "rope_freqs.weight"
"""The factor by which the rotation of each pair is slowed; it is no weight of the network."""
_BLOCK = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.queries",
    "attn_k": "attention.keys",
    "attn_v": "attention.values",
    "attn_output": "attention.output",
    "attn_q_norm": "attention.queries_norm",
    "attn_k_norm": "attention.keys_norm",
    "ffn_norm": "feed_forward_norm",
    "ffn_gate": "feed_forward.gate",
    "ffn_up": "feed_forward.expand",
    "ffn_down": "feed_forward.contract",
}


def _read(model_type: str, options: Options) -> GPTConfig:
    def key(name: str) -> str:
        return f"{model_type}.{name}"

    heads, d_model = options[key("attention.head_count")], options[key("embedding_length")]
    linear = ("linear",) if options.get(key("rope.scaling.factor")) == 1.0 else ()
    only(options, key("rope.scaling.type"), "none", *linear)
    d_head = options.get(key("attention.key_length"), d_model // heads)
    only(options, key("rope.dimension_count"), d_head)
    base = float(options.get(key("rope.freq_base"), 10_000.0))
    tensors = options["tensors"]
    factors = tensors.get(FREQUENCIES)
    return GPTConfig(
        **PRESETS["llama"]
        | {
            "vocab_size": len(tensors["token_embd.weight"]),
            "context_length": options[key("context_length")],
            "d_model": d_model,
            "n_layers": options[key("block_count")],
            "n_heads": heads,
            "n_kv_heads": options.get(key("attention.head_count_kv")),
            "d_head": d_head,
            "d_feed_forward": options[key("feed_forward_length")],
            "rotary_base": base,
            "rotary_scaling": factors
            if factors is None
            else scaling_of(factors.tolist(), base, d_head),
            "norm_epsilon": options[key("attention.layer_norm_rms_epsilon")],
            "tied_head": "output.weight" not in tensors,
            "qkv_bias": model_type == "qwen2",
            "qk_norm": model_type == "qwen3",
            "qk_gain": model_type == "qwen3",
        }
    )


def scaling_of(
    factors: Sequence[float], base: float, d_head: int
) -> tuple[float, float, float, float] | None:
    """The Llama 3.1 scaling (see ``Rotary``) that slows each pair of a head by its factor.

    A file holds the factors, one a pair, but not the scaling that they follow from. Any low and
    high of the same proportion have the same effect, so low is 1. Raises ValueError if no such
    scaling gives the factors.
    """
    if not isinstance(factors, list) or len(factors) != d_head // 2 or not min(factors) > 0:
        raise ValueError(f"{FREQUENCIES}: not a factor above 0 for each of {d_head // 2} pairs")
    most = max(factors)
    if most == min(factors) == 1:
        return None
    rates = [base ** (-2 * pair / d_head) / (2 * math.pi) for pair in range(d_head // 2)]
    for high, original in _guesses(factors, rates):
        scaling = (most, 1.0, high, original)
        slowed = (_slowed(rate, scaling) for rate in rates)
        if all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(slowed, factors, strict=True)):
            return scaling
    raise ValueError(
        f"{FREQUENCIES}, by which each pair's rotation is slowed: not as Llama 3.1's scaling"
        " (rope_type 'llama3') has it, the only one that is supported"
    )


def _slowed(rate: float, scaling: tuple[float, float, float, float]) -> float:
    """The factor by which the scaling slows a pair that turns ``rate`` times a position."""
    factor, low, high, original = scaling
    kept = min(max((original * rate - low) / (high - low), 0.0), 1.0)
    return 1 / (kept + (1 - kept) / factor)


def _guesses(factors: Sequence[float], rates: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Possible pairs (high, original context): the published one, then from the factors.

    For pairs between low and high, the share that keeps its speed is linear in the rate.
    """
    yield 4.0, 8192
    most = max(factors)
    if most == 1:  # some pair would turn faster, which no scaling does
        return
    shares = [(1 / factor - 1 / most) / (1 - 1 / most) for factor in factors]
    between = [(r, s) for r, s in zip(rates, shares, strict=True) if 1e-4 < s < 1 - 1e-4]
    for rate, share in between:
        yield 4.0, _round((1 + 3 * share) / rate)
    if len(between) > 1:
        (rate, share), (last, least) = between[0], between[-1]
        slope = (share - least) / (rate - last)
        low = slope * rate - share  # in units of high - low
        if low > 0:
            yield 1 + 1 / low, _round(slope / low)
    slow = max(rate for rate, share in zip(rates, shares, strict=True) if share <= 1e-4)
    kept = [rate for rate, share in zip(rates, shares, strict=True) if share >= 1 - 1e-4]
    yield min(4.0, min(kept, default=math.inf) / slow), 1 / slow


def _round(number: float) -> float:
    """The nearest whole number, if a float32 is close to it; else the number itself."""
    return round(number) if math.isclose(number, round(number), rel_tol=1e-4) else number


def _holds(model_type: str, config: GPTConfig) -> Iterator[Held]:
    yield Held("token_embd.weight", ("embedding.weight",))
    paired = {"attn_q": config.n_heads, "attn_k": config.groups} if model_type == "llama" else {}
    for layer in range(config.n_layers):
        for theirs, ours in _BLOCK.items():
            for kind in ("weight", "bias"):
                name, held = f"blk.{layer}.{theirs}.{kind}", (f"blocks.{layer}.{ours}.{kind}",)
                if heads := paired.get(theirs):
                    yield Held(name, held, pairs_to_halves(heads), halves_to_pairs(heads))
                else:
                    yield Held(name, held)
    yield Held("output_norm.weight", ("norm.weight",))
    yield Held("output.weight", ("head.weight",))


GGUF = {
    model_type: Layout(
        model_type=model_type,
        class_name=f"a GGUF file of {model_type}",
        read=partial(_read, model_type),
        holds=partial(_holds, model_type),
        head="output.weight",
        ignored=r"rope_freqs\.weight",
    )
    for model_type in ("llama", "qwen2", "qwen3")
}
