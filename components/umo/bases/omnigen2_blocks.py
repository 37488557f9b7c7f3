"""The transformer block of OmniGen2: a Lumina 2 block with grouped queries.

    x <- x + tanh(g1) * norm2(attention(norm1(x) * (1 + s1)))
    x <- x + tanh(g2) * ffn_norm2(feed_forward(ffn_norm1(x) * (1 + s2)))

`s1, g1, s2, g2` come from the time embedding; a block without modulation has neither scales nor
gates. Every norm is `x / sqrt(mean(x^2) + eps) * weight`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umo.bases.omnigen2_rope import rotate

HEAD_EPS = 1e-5
"""Of the norms of queries and keys, whatever the other norms use."""


class RMSNorm(nn.RMSNorm):
    """`x / sqrt(mean(x^2) + eps) * weight` in float32; the result has the type of `x`."""

    def forward(self, x: Tensor) -> Tensor:
        """Features `[...,d]` to features."""
        normal = F.rms_norm(x.float(), self.normalized_shape, eps=self.eps)
        return (normal * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Full attention with grouped queries: query head `h` reads key and value head `h // group`.

    Args:
        width: Features of a token.
        heads: Query heads.
        kv_heads: Key and value heads, a divisor of `heads`.
    """

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        head = width // heads
        self.norm_q = RMSNorm(head, eps=HEAD_EPS)
        self.norm_k = RMSNorm(head, eps=HEAD_EPS)
        self.to_q = nn.Linear(width, heads * head, bias=False)
        self.to_k = nn.Linear(width, kv_heads * head, bias=False)
        self.to_v = nn.Linear(width, kv_heads * head, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(heads * head, width, bias=False)])

    def forward(self, x: Tensor, mask: Tensor | None, rotation: Tensor) -> Tensor:
        """Attend.

        Args:
            x: Tokens `[B,S,D]`.
            mask: Which tokens are read, `[B,1,1,S]`; None reads all.
            rotation: Of the tokens' positions, `[B,S,d/2]`.
        """
        value = self.to_v(x).unflatten(-1, (self.kv_heads, -1))
        query = rotate(self.norm_q(self.to_q(x).unflatten(-1, (self.heads, -1))), rotation)
        key = rotate(self.norm_k(self.to_k(x).unflatten(-1, (self.kv_heads, -1))), rotation)
        group = self.heads // self.kv_heads
        attended = F.scaled_dot_product_attention(
            query.to(value.dtype).transpose(1, 2),
            key.to(value.dtype).repeat_interleave(group, dim=2).transpose(1, 2),
            value.repeat_interleave(group, dim=2).transpose(1, 2),
            attn_mask=mask,
        )
        out: Tensor = self.to_out[0](attended.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """`linear_2(silu(linear_1 x) * linear_3 x)`, the SiLU in float32.

    Args:
        width: Features of a token.
        inner: Features inside.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, inner, bias=False)
        self.linear_2 = nn.Linear(inner, width, bias=False)
        self.linear_3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens `[B,S,D]` to tokens."""
        gate = self.linear_1(x)
        out: Tensor = self.linear_2(F.silu(gate.float()).to(gate.dtype) * self.linear_3(x))
        return out


class Modulation(nn.Module):
    """A norm whose scale comes from the time embedding, as do those of the rest of its block.

    Args:
        width: Features of a token.
        time_width: Features of the time embedding.
        eps: Of the norm.
    """

    def __init__(self, width: int, time_width: int, eps: float) -> None:
        super().__init__()
        self.linear = nn.Linear(time_width, 4 * width)
        self.norm = RMSNorm(width, eps=eps)

    def forward(self, x: Tensor, temb: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The scaled norm of `x` `[B,S,D]`, and `g1`, `s2`, `g2` `[B,1,D]`."""
        s1, g1, s2, g2 = self.linear(F.silu(temb))[:, None].chunk(4, dim=-1)
        return self.norm(x) * (1 + s1), g1, s2, g2


class Block(nn.Module):
    """One block.

    Args:
        width: Features of a token.
        heads: Query heads.
        kv_heads: Key and value heads.
        inner: Features inside the feed-forward part.
        eps: Of its norms.
        time_width: Features of the time embedding; None for a block without modulation.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        inner: int,
        *,
        eps: float,
        time_width: int | None,
    ) -> None:
        super().__init__()
        self.attn = Attention(width, heads, kv_heads)
        self.feed_forward = FeedForward(width, inner)
        self.norm1: nn.Module = (
            RMSNorm(width, eps=eps) if time_width is None else Modulation(width, time_width, eps)
        )
        self.norm2 = RMSNorm(width, eps=eps)
        self.ffn_norm1 = RMSNorm(width, eps=eps)
        self.ffn_norm2 = RMSNorm(width, eps=eps)

    def forward(
        self, x: Tensor, mask: Tensor | None, rotation: Tensor, temb: Tensor | None = None
    ) -> Tensor:
        """Tokens `[B,S,D]` to tokens.

        Args:
            x: The tokens.
            mask: Which of them are read, `[B,1,1,S]`; None reads all.
            rotation: Of their positions, `[B,S,d/2]`.
            temb: Time embedding `[B,T]` of a block with modulation.
        """
        if temb is None:
            x = x + self.norm2(self.attn(self.norm1(x), mask, rotation))
            plain: Tensor = x + self.ffn_norm2(self.feed_forward(self.ffn_norm1(x)))
            return plain
        scaled, g1, s2, g2 = self.norm1(x, temb)
        x = x + torch.tanh(g1) * self.norm2(self.attn(scaled, mask, rotation))
        fed = self.feed_forward(self.ffn_norm1(x) * (1 + s2))
        gated: Tensor = x + torch.tanh(g2) * self.ffn_norm2(fed)
        return gated
