"""Face alignment: a similarity transform to a template of five landmarks, and a warp.

The transform is the least-squares similarity of Umeyama (1991); in the plane, without reflection,
it is `y = a x + b` over complex numbers, with `a = sum(conj(x - mx) (y - my)) / sum(|x - mx|^2)`
and `b = my - a mx`. It is fitted without gradient; the warp has gradient in the pixels. Pixel
coordinates are those of OpenCV: the centre of the first pixel is 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def fit_similarity(source: Tensor, target: Tensor) -> Tensor:
    """Matrices `[n,2,3]` of the similarities that best map `source` to `target`, both `[n,k,2]`."""
    source_mean, target_mean = source.mean(dim=1), target.mean(dim=1)
    x, y = (source - source_mean[:, None]).unbind(dim=2)
    u, v = (target - target_mean[:, None]).unbind(dim=2)
    spread = (x * x + y * y).sum(dim=1).clamp_min(torch.finfo(source.dtype).tiny)
    real, imaginary = (x * u + y * v).sum(dim=1) / spread, (x * v - y * u).sum(dim=1) / spread
    rotation = torch.stack([real, -imaginary, imaginary, real], dim=1).view(-1, 2, 2)
    shift = target_mean[:, :, None] - rotation @ source_mean[:, :, None]
    return torch.cat([rotation, shift], dim=2)


def align(
    images: Tensor,
    landmarks: Tensor,
    image_index: Tensor,
    template: Tensor,
    size: int,
    *,
    smooth: bool = True,
) -> Tensor:
    """Crops in which each face's landmarks lie on the template.

    Pixels outside a picture are zero (mid grey). Smoothly, a face that shrinks by a factor of 2 or
    more is sampled from the picture averaged over blocks of 2, 4, 8... pixels, so crops are not
    aliased; otherwise each pixel of a crop is of four pixels of the picture, as in public scripts.

    Args:
        images: `[B,3,H,W]` float.
        landmarks: `[n,5,2]` xy pixels.
        image_index: `[n]` long, the picture of each face.
        template: `[5,2]` xy pixels of the crop.
        size: Side of a crop, pixels.
        smooth: Whether crops of large faces are free of aliasing.

    Returns:
        `[n,3,size,size]`, differentiable in `images`.
    """
    crops = images.new_zeros(len(landmarks), images.shape[1], size, size)
    if not len(landmarks):
        return crops
    points = landmarks.to(images)
    forward = fit_similarity(points, template.to(images).expand_as(points))
    inverse = torch.linalg.inv(forward[:, :, :2])
    axis = torch.arange(size, device=images.device, dtype=images.dtype)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(1, -1, 2)
    places = (pixels - forward[:, None, :, 2]) @ inverse.transpose(1, 2)
    shrink = inverse.det().sqrt()
    levels = shrink.log2().floor().clamp_min(0).long() * smooth
    for level in levels.unique().tolist():
        faces = (levels == level).nonzero().flatten()
        factor = 2**level
        pooled = F.avg_pool2d(images, factor, ceil_mode=True) if level else images
        extent = pooled.new_tensor([pooled.shape[3], pooled.shape[2]]) * factor
        grid = (2 * places[faces] + 1) / extent - 1
        warped = F.grid_sample(
            pooled[image_index[faces]],
            grid.view(-1, size, size, 2),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        crops = crops.index_copy(0, faces, warped)
    return crops
