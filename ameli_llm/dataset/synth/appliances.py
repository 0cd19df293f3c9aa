"""Silhouettes of appliances, one function a category of the catalogue."""

from __future__ import annotations

from ameli_llm.dataset.synth.canvas import Canvas, Look, shade

_GLASS = (40, 46, 54)
_METAL = (178, 182, 186)
_IRON = (34, 34, 36)


def refrigerator(c: Canvas, look: Look) -> None:
    """French doors or a top freezer."""
    half = look.between(0, 0.24, 0.31)
    c.rect(0.5 - half, 0.04, 0.5 + half, 0.96, look.colour, look.dark, 0.015)
    if look.style[1] < 0.5:
        c.line([(0.5 - half, 0.66), (0.5 + half, 0.66)], look.dark, 0.01)
        c.line([(0.5, 0.04), (0.5, 0.66)], look.dark, 0.01)
        for x in (0.46, 0.54):
            c.line([(x, 0.30), (x, 0.60)], shade(_METAL, 0.8), 0.018)
        c.line([(0.6 - half, 0.72), (0.4 + half, 0.72)], shade(_METAL, 0.8), 0.018)
    else:
        split = look.between(2, 0.28, 0.38)
        c.line([(0.5 - half, split), (0.5 + half, split)], look.dark, 0.012)
        c.line([(0.55 - half, split - 0.16), (0.55 - half, split - 0.03)], shade(_METAL, 0.8), 0.02)
        c.line([(0.55 - half, split + 0.03), (0.55 - half, split + 0.25)], shade(_METAL, 0.8), 0.02)
    c.prints(look, 0.5, 0.80, 0.42, look.colour)


def gas_range(c: Canvas, look: Look) -> None:
    """Burners, knobs and an oven door."""
    half = look.between(0, 0.32, 0.40)
    c.rect(0.5 - half, 0.10, 0.5 + half, 0.94, look.colour, look.dark, 0.01)
    c.rect(0.5 - half, 0.10, 0.5 + half, 0.30, _IRON)
    for number in range(look.burners):
        x = 0.5 - half + 2 * half * (number + 0.5) / look.burners
        c.oval(x, 0.20, 0.05, 0.06, (70, 70, 74), _METAL)
    for number in range(look.burners):
        x = 0.5 - half + 2 * half * (number + 0.5) / look.burners
        c.oval(x, 0.36, 0.026, 0.026, shade(_METAL, look.between(1, 0.5, 1.2)), _IRON)
    c.line([(0.55 - half, 0.44), (0.45 + half, 0.44)], shade(_METAL, 0.8), 0.022)
    c.rect(0.6 - half, 0.49, 0.4 + half, look.between(2, 0.66, 0.74), _GLASS, None, 0.02)
    c.prints(look, 0.5, 0.81, 0.5, look.colour)


def cooktop(c: Canvas, look: Look) -> None:
    """A flat plate seen from above with its burners."""
    top = look.between(0, 0.20, 0.28)
    c.rect(0.04, top, 0.96, 0.80, look.colour, look.dark, look.between(1, 0.0, 0.04))
    upper = (look.burners + 1) // 2
    for number in range(look.burners):
        row, place = divmod(number, upper)
        across = upper if row == 0 else look.burners - upper
        x = 0.08 + 0.84 * (place + 0.5) / across
        y = top + 0.11 + 0.19 * row
        c.oval(x, y, 0.085, 0.085, _IRON, _METAL)
        c.oval(x, y, look.between(2, 0.02, 0.05), 0.03, _METAL)
        c.line([(x - 0.1, y), (x + 0.1, y)], (64, 64, 66), 0.012)
    for number in range(look.burners):
        c.oval(0.12 + 0.05 * number, 0.73, 0.018, 0.018, _METAL, _IRON)
    c.prints(look, 0.7, 0.68, 0.42, look.colour)


def range_hood(c: Canvas, look: Look) -> None:
    """A chimney over a canopy."""
    flue, slope = look.between(0, 0.11, 0.17), look.between(1, 0.50, 0.62)
    c.rect(0.5 - flue, 0.05, 0.5 + flue, slope, look.colour, look.dark)
    c.poly(
        [(0.5 - flue, slope - 0.08), (0.5 + flue, slope - 0.08), (0.94, 0.72), (0.06, 0.72)],
        look.light,
        look.dark,
    )
    c.rect(0.05, 0.70, 0.95, 0.88, look.colour, look.dark)
    for number in range(3 + round(2 * look.style[2])):
        c.oval(0.78 + 0.032 * number, 0.85, 0.011, 0.011, _GLASS)
    if look.style[3] < 0.4:
        c.poly([(0.02, 0.88), (0.98, 0.88), (0.93, 0.93), (0.07, 0.93)], (190, 210, 214))
    c.prints(look, 0.4, 0.755, 0.6, look.colour)


def microwave(c: Canvas, look: Look) -> None:
    """A door with a window and a key panel."""
    door = look.between(0, 0.66, 0.74)
    c.rect(0.04, 0.22, 0.96, 0.80, look.colour, look.dark, look.between(1, 0.01, 0.05))
    c.rect(0.09, 0.28, door - 0.04, 0.60, _GLASS, None, look.between(2, 0.0, 0.06))
    c.line([(door, 0.24), (door, 0.78)], look.dark, 0.008)
    c.rect(door + 0.03, 0.27, 0.92, 0.35, (20, 34, 30))
    for number in range(9):
        row, place = divmod(number, 3)
        c.rect(
            door + 0.035 + 0.065 * place,
            0.40 + 0.08 * row,
            door + 0.08 + 0.065 * place,
            0.45 + 0.08 * row,
            look.dark,
        )
    c.prints(look, 0.37, 0.65, 0.5, look.colour)


def blender(c: Canvas, look: Look) -> None:
    """A clear jar on a coloured base."""
    half = look.between(0, 0.15, 0.20)
    c.rect(0.5 - half * 0.8, 0.05, 0.5 + half * 0.8, 0.10, look.dark, None, 0.01)
    c.poly(
        [(0.5 - half, 0.10), (0.5 + half, 0.10), (0.5 + half * 0.7, 0.58), (0.5 - half * 0.7, 0.58)],
        (206, 220, 226),
        (150, 160, 166),
    )
    if look.style[1] < 0.6:
        c.arc(0.5 + half, 0.30, 0.09, 0.14, 270, 90, look.dark, 0.03)
    for mark in range(4):
        c.line([(0.5, 0.20 + 0.09 * mark), (0.56, 0.20 + 0.09 * mark)], (140, 150, 156), 0.006)
    base = look.between(2, 0.20, 0.28)
    c.poly([(0.34, 0.58), (0.66, 0.58), (0.5 + base, 0.95), (0.5 - base, 0.95)], look.colour, look.dark)
    c.prints(look, 0.5, 0.70, 0.34, look.colour)
    c.oval(0.5, 0.88, 0.035, 0.035, _METAL, _IRON)


def coffee_maker(c: Canvas, look: Look) -> None:
    """A tower with a carafe in its bay."""
    half = look.between(0, 0.25, 0.31)
    c.rect(0.5 - half, 0.07, 0.5 + half, 0.34, look.colour, look.dark, look.between(1, 0.01, 0.06))
    c.rect(0.5 - half, 0.30, 0.62 - half, 0.93, look.colour, look.dark)
    c.rect(0.5 - half, 0.84, 0.5 + half, 0.94, look.colour, look.dark, 0.02)
    c.oval(0.56, 0.66, 0.15, look.between(2, 0.13, 0.18), (60, 40, 30), (190, 200, 204))
    c.arc(0.71, 0.64, 0.07, 0.10, 270, 90, _IRON, 0.025)
    c.rect(0.46, 0.34, 0.66, 0.42, look.dark)
    c.prints(look, 0.5, 0.16, 0.48, look.colour)
    c.oval(0.5 + half - 0.05, 0.89, 0.018, 0.018, (60, 200, 90))


def vacuum(c: Canvas, look: Look) -> None:
    """A long handle, a clear bin and a floor head."""
    lean = look.between(0, -0.10, 0.10)
    c.line([(0.5 + lean, 0.04), (0.5, 0.45)], _METAL, 0.035)
    c.line([(0.44 + lean, 0.05), (0.56 + lean, 0.05)], look.dark, 0.05)
    c.rect(0.33, 0.32, 0.67, 0.78, look.colour, look.dark, look.between(1, 0.03, 0.10))
    c.rect(0.39, 0.36, 0.61, 0.53, (190, 204, 210), look.dark, 0.03)
    half = look.between(2, 0.28, 0.38)
    c.rect(0.5 - half, 0.78, 0.5 + half, 0.94, look.colour, look.dark, 0.04)
    c.rect(0.53 - half, 0.89, 0.47 + half, 0.93, _IRON)
    c.prints(look, 0.5, 0.60, 0.31, look.colour)
