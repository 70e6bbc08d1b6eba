"""The vision transformer of DINOv2 (Oquab et al. 2023, arXiv 2304.07193; Dosovitskiy et al. 2020), as far as
features are asked of it: patches, pre-norm blocks with layer scale, and the class token behind the last norm.

Parameters are called as in the authors' files of weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

HEAD_WIDTH = 64
EPSILON = 1e-6
# The authors enlarge the grid by this much before they compute by how much the position embeddings shrink.
GRID_OFFSET = 0.1


class VisionTransformer(nn.Module):
    """Float images (B, 3, H, W), H and W multiples of `patch` -> the class token (B, `width`).

    `grid` is the side of the position embeddings' grid; for images of another grid they are resized.
    """

    def __init__(self, width: int, depth: int, patch: int, grid: int):
        super().__init__()
        self.patch, self.grid = patch, grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](images)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(*patches.shape[-2:])
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 0])

    def _positions(self, rows: int, columns: int) -> Tensor:
        if (rows, columns) == (self.grid, self.grid):
            return self.pos_embed
        of_class, of_patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        square = of_patches.reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        scale = tuple((side + GRID_OFFSET) / self.grid for side in (rows, columns))
        resized = functional.interpolate(square, scale_factor=scale, mode="bicubic")
        return torch.cat([of_class, resized.flatten(2).transpose(1, 2)], dim=1)


class Block(nn.Module):
    """Self-attention and a perceptron, each behind a norm and scaled before it is added."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls1, self.ls2 = LayerScale(width), LayerScale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        hidden = functional.gelu(self.mlp["fc1"](self.norm2(tokens)))
        return tokens + self.ls2(self.mlp["fc2"](hidden))


class Attention(nn.Module):
    """Softmax attention of heads of `HEAD_WIDTH`."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        heads = self.qkv(tokens).view(batch, count, 3, width // HEAD_WIDTH, HEAD_WIDTH)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))


class LayerScale(nn.Module):
    """A learned factor for each dimension."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


def transformer_of(state: dict[str, Tensor]) -> VisionTransformer:
    """The network that a file of the authors' weights is of, with these weights.

    Raises `ValueError` that says what is missing, or there and not understood.
    """
    needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.ls1.gamma", "norm.weight")
    missing = [name for name in needed if name not in state]
    if missing:
        raise ValueError(f"no `{missing[0]}`")
    state = {name: tensor for name, tensor in state.items() if name != "mask_token"}  # of the training only
    if "register_tokens" in state:
        raise ValueError("register tokens: take the weights without registers")
    width = state["cls_token"].shape[-1]
    grid = math.isqrt(state["pos_embed"].shape[1] - 1)
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    if width % HEAD_WIDTH:
        raise ValueError(f"features of {width} dimensions, which are no heads of {HEAD_WIDTH}")
    network = VisionTransformer(width, depth, state["patch_embed.proj.weight"].shape[-1], grid)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    return network
