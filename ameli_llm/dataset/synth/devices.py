"""Silhouettes of electronics and toys, one function a category of the catalogue."""

from __future__ import annotations

from ameli_llm.dataset.synth.canvas import Canvas, Look, ink, shade

_GLASS = (40, 46, 54)
_METAL = (178, 182, 186)
_IRON = (34, 34, 36)


def laptop(c: Canvas, look: Look) -> None:
    """Open screen above a keyboard deck."""
    half = look.between(0, 0.36, 0.42)
    c.rect(0.5 - half, 0.12, 0.5 + half, 0.60, look.colour, look.dark, 0.02)
    c.rect(0.53 - half, 0.15, 0.47 + half, 0.56, _GLASS)
    c.oval(
        0.5,
        0.35,
        look.between(1, 0.05, 0.16),
        look.between(2, 0.05, 0.12),
        shade((60, 90, 140), look.between(3, 0.7, 1.4)),
    )
    c.poly(
        [(0.5 - half, 0.60), (0.5 + half, 0.60), (0.56 + half, 0.92), (0.44 - half, 0.92)],
        look.colour,
        look.dark,
    )
    for row in range(3):
        c.rect(0.54 - half, 0.625 + 0.035 * row, 0.46 + half, 0.65 + 0.035 * row, look.dark)
    c.prints(look, 0.5, 0.785, 0.5, look.colour)


def phone(c: Canvas, look: Look) -> None:
    """The back of a phone with its camera island."""
    half, corner = look.between(0, 0.20, 0.25), look.between(1, 0.02, 0.08)
    c.rect(0.5 - half, 0.06, 0.5 + half, 0.94, look.colour, look.dark, corner)
    c.rect(0.53 - half, 0.10, 0.53 - half + look.between(2, 0.12, 0.26), 0.32, look.dark, None, 0.03)
    for lens in range(2 + round(look.style[3])):
        c.oval(0.59 - half, 0.145 + 0.065 * lens, 0.028, 0.028, _GLASS, _METAL)
    c.prints(look, 0.5, 0.62, 0.36, look.colour)


def tv(c: Canvas, look: Look) -> None:
    """A wide screen in a coloured frame on its stand."""
    rim = look.between(0, 0.02, 0.05)
    c.rect(0.04, 0.16, 0.96, 0.74, look.colour, look.dark, 0.01)
    c.rect(0.04 + rim, 0.16 + rim, 0.96 - rim, 0.66, _GLASS)
    c.poly(
        [
            (0.15, 0.6),
            (0.35, look.between(1, 0.3, 0.5)),
            (0.5, 0.5),
            (0.7, look.between(2, 0.25, 0.45)),
            (0.88, 0.6),
        ],
        (70, 100, 130),
    )
    if look.style[3] < 0.5:
        c.rect(0.46, 0.74, 0.54, 0.84, look.dark)
        c.rect(0.3, 0.83, 0.7, 0.87, look.colour, look.dark)
    else:
        c.poly([(0.18, 0.74), (0.22, 0.74), (0.17, 0.87), (0.12, 0.87)], look.dark)
        c.poly([(0.78, 0.74), (0.82, 0.74), (0.88, 0.87), (0.83, 0.87)], look.dark)
    c.text(0.3, 0.70, look.brand, 0.3, 0.055, ink(look.colour))
    c.text(0.7, 0.70, look.model, 0.3, 0.055, ink(look.colour))


def headphones(c: Canvas, look: Look) -> None:
    """A band over two ear cups."""
    cup = look.between(0, 0.13, 0.18)
    c.arc(0.5, 0.52, 0.36, 0.42, 180, 360, look.colour, look.between(1, 0.04, 0.08))
    c.arc(0.5, 0.54, 0.33, 0.38, 195, 345, look.dark, 0.02)
    for x in (0.17, 0.83):
        c.oval(x, 0.62, cup, look.between(2, 0.18, 0.24), look.colour, look.dark)
        c.oval(x, 0.62, cup * 0.6, 0.11, look.light if look.style[3] < 0.5 else _GLASS)
    if look.brand or look.model:
        c.rect(0.31, 0.46, 0.69, 0.63, (236, 236, 232), (150, 150, 150), 0.01)
        c.prints(look, 0.5, 0.51, 0.34, (236, 236, 232))


def camera(c: Canvas, look: Look) -> None:
    """A body with a lens in front."""
    top = look.between(0, 0.24, 0.32)
    c.rect(0.36, top - 0.10, 0.64, top + 0.05, look.dark, None, 0.02)
    c.rect(0.07, top, 0.93, 0.80, look.colour, look.dark, 0.04)
    c.rect(0.07, 0.46, 0.93, 0.72, shade(look.colour, 0.5 if look.style[1] < 0.5 else 0.8))
    radius = look.between(2, 0.19, 0.24)
    for share, tone in ((1.0, _IRON), (0.75, _METAL), (0.6, _GLASS), (0.25, (90, 110, 160))):
        c.oval(0.5, 0.55, radius * share, radius * share, tone)
    c.oval(0.2, top - 0.01, 0.06, 0.03, _METAL)
    c.text(0.24, top + 0.07, look.brand, 0.3, 0.055, ink(look.colour))
    c.text(0.77, top + 0.07, look.model, 0.3, 0.055, ink(look.colour))


def speaker(c: Canvas, look: Look) -> None:
    """A lying or a standing cylinder with a grille."""
    tall = look.style[0] < 0.4
    x0, y0, x1, y1 = (0.3, 0.1, 0.7, 0.9) if tall else (0.06, 0.28, 0.94, 0.76)
    c.rect(x0, y0, x1, y1, look.colour, look.dark, look.between(1, 0.05, 0.18))
    step = look.between(2, 0.03, 0.05)
    count = int((x1 - x0 - 0.16) / step)
    for number in range(count):
        x = x0 + 0.08 + step * number
        c.line([(x, y0 + 0.06), (x, y1 - 0.06)], look.dark, 0.006)
    plate = shade(look.colour, 0.55)
    c.rect(0.32, 0.43, 0.68, 0.61, plate, None, 0.02)
    c.prints(look, 0.5, 0.485, 0.33, plate)
    c.oval(x1 - 0.09, y0 + 0.09, 0.025, 0.025, _METAL)


def action_figure(c: Canvas, look: Look) -> None:
    """A figure on a printed stand."""
    wide = look.between(0, 0.11, 0.16)
    if look.style[1] < 0.5:
        c.poly([(0.5 - wide, 0.24), (0.5 + wide, 0.24), (0.56 + wide, 0.74), (0.44 - wide, 0.74)], look.dark)
    c.oval(0.5, 0.14, 0.075, 0.09, (224, 186, 150), look.dark)
    c.poly([(0.42, 0.12), (0.58, 0.12), (0.5, look.between(2, 0.0, 0.08))], look.colour)
    c.poly([(0.5 - wide, 0.24), (0.5 + wide, 0.24), (0.58, 0.52), (0.42, 0.52)], look.colour, look.dark)
    for side in (-1, 1):
        c.line(
            [(0.5 + side * wide, 0.27), (0.5 + side * (wide + 0.1), look.between(3, 0.36, 0.52))],
            look.colour,
            0.055,
        )
        c.line([(0.5 + side * 0.045, 0.5), (0.5 + side * 0.085, 0.76)], look.colour, 0.075)
    c.line([(0.41, 0.50), (0.59, 0.50)], (212, 178, 70), 0.03)
    stand = shade(look.colour, 0.45)
    c.rect(0.24, 0.77, 0.76, 0.95, stand, None, 0.02)
    c.prints(look, 0.5, 0.825, 0.48, stand)


def building_set(c: Canvas, look: Look) -> None:
    """The box, with bricks in front."""
    c.rect(0.10, 0.10, 0.90, 0.76, look.colour, look.dark, 0.01)
    c.rect(0.10, 0.10, 0.90, 0.27, shade(look.colour, 0.5))
    c.prints(look, 0.5, 0.155, 0.6, shade(look.colour, 0.5))
    tones = ((204, 40, 40), (240, 200, 50), (40, 110, 200), (60, 150, 70), look.light)
    width = look.between(0, 0.09, 0.13)
    for row in range(3):
        for place in range(5 - row):
            x = 0.22 + width * place + 0.05 * row
            tone = tones[int(10 * look.style[1 + (row + place) % 5]) % len(tones)]
            c.rect(x, 0.62 - 0.10 * row, x + width * 0.92, 0.71 - 0.10 * row, tone, shade(tone, 0.6))
            c.rect(x + 0.02, 0.605 - 0.10 * row, x + 0.05, 0.62 - 0.10 * row, tone)
    c.rect(0.14, 0.80, 0.30, 0.92, look.colour, look.dark)
    c.rect(0.36, 0.82, 0.58, 0.93, look.light, look.dark)
