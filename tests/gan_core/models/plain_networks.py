"""The networks of papers written once more, plainly, to compare the project's with.

Each has the layers in the order of its paper's table (or its authors' code), with a bias wherever the
original has one, and takes over the weights of a network of ours: convolutions and dense layers in order,
then norms.
"""

import torch
from torch import nn

LINEAR = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class PlainSNDCGANGenerator(nn.Module):
    """Miyato et al. 2018, table 3 (a), for an image of 8 * side pixels."""

    def __init__(self, z: int, width: int = 64, side: int = 4):
        super().__init__()
        self.shape = (-1, 8 * width, side, side)
        self.dense = nn.Linear(z, 8 * width * side**2)
        self.convolutions = nn.ModuleList(
            [
                nn.ConvTranspose2d(8 * width, 4 * width, 4, 2, 1),
                nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1),
                nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
            ]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(factor * width) for factor in (8, 4, 2, 1)])
        self.last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, z):
        x = torch.relu(self.norms[0](self.dense(z).view(self.shape)))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = torch.relu(norm(convolution(x)))
        return torch.tanh(self.last(x))


class PlainSNDCGANCritic(nn.Module):
    """Its discriminator as its authors' code and pytorch-gan-collections have it.

    With `spectral`, every weight is divided by its largest singular value as algorithm 1 estimates it: one
    step of the power iteration a forward pass, whose vectors get no gradient.
    """

    def __init__(self, width: int = 64, side: int = 4, *, spectral: bool = False):
        super().__init__()
        self.spectral = spectral
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, width, 3, 1, 1),
                nn.Conv2d(width, 2 * width, 4, 2, 1),
                nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
                nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
                nn.Conv2d(4 * width, 4 * width, 3, 1, 1),
                nn.Conv2d(4 * width, 8 * width, 4, 2, 1),
                nn.Conv2d(8 * width, 8 * width, 3, 1, 1),
            ]
        )
        self.dense = nn.Linear(8 * width * side**2, 1)
        self.vectors: dict[nn.Module, list] = {}

    def forward(self, x):
        for convolution in self.convolutions:
            weight = self.weight_of(convolution)
            x = nn.functional.conv2d(x, weight, convolution.bias, convolution.stride, convolution.padding)
            x = torch.where(x > 0, x, 0.1 * x)
        return nn.functional.linear(x.flatten(1), self.weight_of(self.dense), self.dense.bias).squeeze(1)

    def weight_of(self, layer):
        if not self.spectral:
            return layer.weight
        matrix = layer.weight.flatten(1)
        with torch.no_grad():
            if self.training:
                right = self.vectors[layer][1]
                left = matrix @ right
                left /= left.norm()
                right = matrix.T @ left
                self.vectors[layer] = [left, right / right.norm()]
            left, right = self.vectors[layer]
        return layer.weight / (left @ matrix @ right)


class PlainDeepDCGANGenerator(nn.Module):
    """pytorch-gan-collections' DCGAN for 32 pixels: transposed convolutions only, from one pixel on."""

    def __init__(self, z: int, width: int = 64):
        super().__init__()
        widths = [16 * width, 8 * width, 4 * width, 2 * width]
        self.dense = nn.ConvTranspose2d(z, widths[0], 2, 1, 0, bias=False)
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(widths[i], widths[i + 1], 4, 2, 1, bias=False) for i in range(3)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in widths)
        self.last = nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False)

    def forward(self, z):
        x = torch.relu(self.norms[0](self.dense(z[:, :, None, None])))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = torch.relu(norm(convolution(x)))
        return torch.tanh(self.last(x))


class PlainDeepDCGANDiscriminator(nn.Module):
    """Its discriminator: the norm behind the activation."""

    def __init__(self, width: int = 64):
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 5, 2, 2, bias=False) for i in range(4)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in widths[2:])
        self.dense = nn.Linear(8 * width * 2 * 2, 1)

    def forward(self, x):
        x = self.convolutions[0](x)
        x = torch.where(x > 0, x, 0.2 * x)
        for convolution, norm in zip(self.convolutions[1:], self.norms, strict=True):
            x = convolution(x)
            x = norm(torch.where(x > 0, x, 0.2 * x))
        return self.dense(x.flatten(1)).squeeze(1)


def take_over(plain: nn.Module, ours: nn.Module) -> nn.Module:
    """`plain` with the weights, statistics and power iterations of `ours`; a bias that ours has not is 0."""
    pairs = zip(_in_order(plain), _in_order(ours), strict=True)
    with torch.no_grad():
        for theirs, mine in pairs:
            spectral = hasattr(mine, "parametrizations")
            weight = mine.parametrizations.weight.original if spectral else mine.weight
            if (
                theirs.weight.dim() > weight.dim()
            ):  # a transposed convolution of one pixel is a matrix product
                weight = weight.T.view_as(theirs.weight)
            theirs.weight.copy_(weight)
            if mine.bias is not None:
                theirs.bias.copy_(mine.bias)
            elif theirs.bias is not None:
                theirs.bias.zero_()
            if spectral:
                vectors = dict(mine.named_buffers())
                plain.vectors[theirs] = [
                    next(value.clone() for name, value in vectors.items() if name.endswith(end))
                    for end in ("_u", "_v")
                ]
        norms = [[m for m in network.modules() if isinstance(m, nn.BatchNorm2d)] for network in (plain, ours)]
        for theirs, mine in zip(*norms, strict=True):
            theirs.load_state_dict(mine.state_dict())
    return plain


def _in_order(network: nn.Module) -> list[nn.Module]:
    """The layers with weights in the order in which an input meets them."""
    return [module for module in network.modules() if isinstance(module, LINEAR)]
