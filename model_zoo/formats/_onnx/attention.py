"""Attention, and the turning of queries and keys by their places, as opset 23 and 24 have them.

softmax(Q Kᵀ · scale + mask) V is written out, so that its probabilities are seen (probe.py), with a bound on the
logits (softcap), keys of the past, and fewer heads of keys than of queries.
"""

from __future__ import annotations

from typing import Any

import torch

from model_zoo.formats._onnx.registry import Node, operator

Tensor = torch.Tensor


@operator("Attention")
def attention(
    node: Node,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Any:
    """Y, and the keys, values and products that are wanted; (batch, heads, tokens, width) or (batch, tokens, all)."""
    flat = q.ndim == 3
    if flat:
        many, few = node.get("q_num_heads"), node.get("kv_num_heads")
        q, k, v = _heads(q, many), _heads(k, few), _heads(v, few)
    before = 0 if past_key is None else past_key.shape[2]
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    scale = node.get("scale", q.shape[-1] ** -0.5)
    groups = q.shape[1] // k.shape[1]
    keys, values = (one.repeat_interleave(groups, 1) if groups > 1 else one for one in (k, v))
    products = (q * scale**0.5) @ (keys * scale**0.5).mT
    bias = _bias(node, products, mask, lengths, before)
    cap, mode = node.get("softcap", 0.0), node.get("qk_matmul_output_mode", 0)
    capped = cap * torch.tanh(products / cap) if cap else products
    biased = capped + bias
    shares = torch.softmax(biased, -1).masked_fill((biased == -torch.inf).all(-1, keepdim=True), 0)
    y = shares.to(values.dtype) @ values
    y = y.transpose(1, 2).flatten(2) if flat else y
    kept = {0: products, 1: capped, 2: biased, 3: shares}
    return y, k, v, kept[mode]


def _heads(x: Tensor, count: int) -> Tensor:
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def _bias(node: Node, products: Tensor, mask: Tensor | None, lengths: Tensor | None, before: int) -> Tensor:
    """What is added to the logits: 0, the mask, or minus infinity for keys that may not be looked at."""
    rows, columns = products.shape[-2:]
    device = products.device
    here = torch.arange(columns, device=device)
    first: Any = before  # keys before the first query: those of the past, or of a cache that is given whole
    if lengths is not None and not before:
        first = lengths[:, None, None, None] - rows
    at = torch.arange(rows, device=device)[:, None] + first
    left, right = node.get("left_window_size", -1), node.get("right_window_size", -1)
    there = torch.ones((rows, columns), dtype=torch.bool, device=device)
    if node.get("is_causal", 0):
        there = there & (here <= at)
    if left >= 0:
        there = there & (here >= at - left)
    if right >= 0:
        there = there & (here <= at + right)
    if lengths is not None:
        there = there & (here < lengths[:, None, None, None])
    bias = torch.zeros(there.shape, dtype=products.dtype, device=device).masked_fill(~there, -torch.inf)
    if mask is not None:
        if mask.shape[-1] < columns:
            fill = False if mask.dtype == torch.bool else -torch.inf
            mask = torch.nn.functional.pad(mask, (0, columns - mask.shape[-1]), value=fill)
        mask = (
            torch.zeros_like(mask, dtype=bias.dtype).masked_fill(~mask, -torch.inf)
            if mask.dtype == torch.bool
            else mask
        )
        bias = bias + mask
    return bias


@operator("RotaryEmbedding")
def rotary_embedding(node: Node, x: Tensor, cos: Tensor, sin: Tensor, places: Tensor | None = None) -> Tensor:
    """Pairs of numbers of each head turned by an angle that grows with the place."""
    flat = x.ndim == 3
    heads = x.unflatten(-1, (node.get("num_heads"), -1)) if flat else x.transpose(1, 2)  # (batch, tokens, heads, width)
    width = node.get("rotary_embedding_dim", 0) or heads.shape[-1]
    if places is not None:
        cos, sin = cos[places], sin[places]
    cos, sin = (one[..., : width // 2].unsqueeze(2) for one in (cos, sin))
    turned, rest = heads[..., :width], heads[..., width:]
    if node.get("interleaved", 0):
        a, b = turned[..., 0::2], turned[..., 1::2]
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    else:
        a, b = turned.chunk(2, -1)
        turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    found = torch.cat([turned, rest], -1)
    return found.flatten(2) if flat else found.transpose(1, 2)
