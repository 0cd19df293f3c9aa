"""Pictures: the shop's clean product images and shoppers' photos of the same thing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from ameli_llm.dataset.synth.canvas import PIXELS, Canvas, Fonts, Look
from ameli_llm.dataset.synth.products import Item, pick
from ameli_llm.dataset.synth.reviews import Photo
from ameli_llm.dataset.synth.shapes import shape

_WHITE = (255, 255, 255)
Box = tuple[int, int, int, int]


def look_of(item: Item, *, brand: bool = True, model: bool = True) -> Look:
    """How a product is drawn, with or without its prints."""
    family, variant = item
    burners = {**family.fixed, **variant.values}.get("Number of Burners", "4 burners")
    return Look(
        colour=variant.colour.rgb,
        style=family.style,
        burners=int(burners.split()[0]),
        brand=family.brand if brand else "",
        model=variant.model if model else "",
    )


def product_image(item: Item, view: int, fonts: Fonts) -> Image.Image:
    """The shop's picture on white: view 0 is the front, further views are tilted or nearer."""
    canvas = Canvas(fonts, _WHITE)
    shape(item.family.category.name)(canvas, look_of(item))
    picture = canvas.image
    if view == 1:
        picture = picture.rotate(-12, Image.Resampling.BILINEAR, fillcolor=_WHITE)
    elif view == 2:
        inset = PIXELS // 8
        picture = picture.resize((PIXELS, PIXELS), box=(inset, inset, PIXELS - inset, PIXELS - inset))
    return picture.reduce(2)


def review_photo(
    item: Item, photo: Photo, rng: np.random.Generator, difficulty: float, fonts: Fonts
) -> tuple[Image.Image, Box]:
    """A shopper's photo, 240 to 340 pixels wide, and the product's box in it (left, top, right, bottom)."""
    canvas = Canvas(fonts)
    kind = photo.kind if photo.kind in ("packaging", "label") else item.family.category.name
    look = look_of(item, brand=photo.brand, model=photo.model)
    shape("carton" if kind == "packaging" else kind)(canvas, look)
    width, height = int(rng.integers(240, 341)), int(rng.integers(240, 341))
    scene = _room(width, height, rng, difficulty)
    view = _view(width, height, rng, difficulty, flips=not photo.model)
    product, mask = (
        layer.transform((width, height), Image.Transform.AFFINE, view, Image.Resampling.BILINEAR)
        for layer in (canvas.image.convert("RGB"), canvas.image.getchannel("A"))
    )
    scene.paste(product, (0, 0), mask)
    if rng.random() < 0.1 + 0.3 * difficulty:
        scene = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 3.0)))
    lit = _light(np.array(scene, dtype=np.float32), photo, rng, difficulty)
    return Image.fromarray(lit), mask.getbbox() or (0, 0, width, height)


def _room(width: int, height: int, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """A wall, a floor or table, and blurred things that have nothing to do with the product."""
    canvas = Image.new("RGB", (width, height), _muted(rng, 130, 240))
    canvas.paste(_muted(rng, 70, 200), (0, int(height * rng.uniform(0.55, 0.9)), width, height))
    for _ in range(int(rng.poisson(2 + 6 * difficulty))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = (int(v) for v in rng.integers(10, 90, 2))
        things = (
            _muted(rng, 30, 230) if rng.random() < 0.7 else tuple(int(v) for v in rng.integers(20, 240, 3))
        )
        canvas.paste(things, (x, y, x + w, y + h))
    return canvas.filter(ImageFilter.BoxBlur(3))


def _muted(rng: np.random.Generator, low: int, high: int) -> tuple[int, ...]:
    """A colour of walls, wood and worktops: grey with a warm or a cold cast."""
    grey, cast = int(rng.integers(low, high)), int(rng.integers(-14, 32))
    return tuple(min(255, max(0, grey + shift)) for shift in (cast, cast // 3, -cast))


def _view(
    width: int, height: int, rng: np.random.Generator, difficulty: float, *, flips: bool
) -> tuple[float, ...]:
    """Six affine coefficients: the product turned, sheared, scaled, moved, perhaps partly out of view."""
    strength = 0.4 + 1.2 * difficulty
    angle = np.deg2rad(rng.normal(0, 8 * strength))
    size = rng.uniform(0.35, 0.6) if rng.random() < 0.3 * difficulty else rng.uniform(0.75, 1.15)
    shrink = PIXELS / (min(width, height) * size)
    shear = rng.normal(0, 0.05 * strength)
    stretch = rng.uniform(1 - 0.12 * strength, 1 + 0.12 * strength)
    flip = -1 if flips and rng.random() < 0.12 else 1
    cos, sin = float(np.cos(angle)) * shrink, float(np.sin(angle)) * shrink
    matrix = np.array([[flip * cos * stretch, flip * (sin + shear * shrink)], [-sin * stretch, cos]])
    centre = np.array([width, height]) / 2 + rng.normal(0, 8 * strength, 2)
    offset = np.array([PIXELS / 2, PIXELS / 2]) - matrix @ centre
    return tuple(float(v) for v in (*matrix[0], offset[0], *matrix[1], offset[1]))


def _light(
    pixels: npt.NDArray[np.float32], photo: Photo, rng: np.random.Generator, difficulty: float
) -> npt.NDArray[np.uint8]:
    """Exposure, tint, a shadow from one side and sensor noise; "dim" photos lose most of their colour."""
    height, width, _ = pixels.shape
    gain = rng.normal(1, 0.03 + 0.06 * difficulty, 3) * max(0.5, rng.normal(1, 0.06 + 0.12 * difficulty))
    shadow = np.linspace(1, rng.uniform(0.65, 1.0), width)[:: pick(rng, (1, -1))]
    if photo.kind == "dim":
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = grey + (pixels - grey) * np.float32(rng.uniform(0.0, 0.25))
        gain *= rng.uniform(0.35, 0.7)
    noise = rng.integers(-8, 9, (height, width, 1), dtype=np.int8).astype(np.float32)
    noise *= np.float32(0.3 + difficulty)
    pixels *= (shadow[:, None] * gain).astype(np.float32)
    pixels += noise
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)
