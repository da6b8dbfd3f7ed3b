"""Draws street scenes with their labels: the images of :class:`ToyStreets`.

A scene is laid out in metres in front of a pinhole camera (x to the right, y up, z ahead) and
painted from far to near onto an image and a label map together, so nearer things occlude farther
ones in both. What makes it hard on purpose: haze, shadows, noise and colour casts, clothes and
paint in the colours of the background, and look-alikes of the rare classes that belong to frequent
ones (drain pipes and shop signs on buildings, tree trunks).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = (
    'sky',
    'road',
    'building',
    'vegetation',
    'sidewalk',
    'car',
    'pedestrian',
    'pole',
    'traffic sign',
    'bicycle',
)
"""Class names, by label."""

IGNORED = 255
"""Label of the camera car's bonnet, which belongs to no class."""

SKY, ROAD, BUILDING, VEGETATION, SIDEWALK, CAR, PEDESTRIAN, POLE, SIGN, BICYCLE = range(10)

# OpenCV accepts 1/16 pixels: without them thin and distant things jump by whole pixels.
SUBPIXEL_BITS = 4

Colour = tuple[float, float, float]
Point = tuple[float, float]

CAR_PAINTS = ((40, 42, 48), (205, 208, 210), (130, 30, 32), (38, 62, 112), (120, 124, 128))
CLOTHES = ((40, 40, 48), (96, 92, 88), (150, 58, 50), (52, 78, 128), (180, 172, 158), (66, 84, 58))
WALLS = ((168, 120, 96), (186, 168, 142), (142, 136, 132), (122, 92, 84), (196, 186, 172))
SIGN_STYLES = (
    ('disc', (196, 34, 40), (236, 236, 232)),
    ('triangle', (196, 34, 40), (236, 236, 232)),
    ('square', (36, 84, 164), (226, 230, 236)),
    ('square', (214, 176, 40), (60, 56, 40)),
)


def draw_street(
    width: int, height: int, rng: np.random.Generator, noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one street scene.

    Args:
        width (int): Width of the image in pixels.
        height (int): Height of the image in pixels.
        rng (numpy.random.Generator): Source of everything random in the scene.
        noise (float): Factor of the camera's noise. All else stays as it is.

    Returns:
        tuple[numpy.ndarray, numpy.ndarray]: The image, ``(height, width, 3)`` uint8 in BGR order,
        and the labels, ``(height, width)`` uint8, indices into :data:`CLASSES` or
        :data:`IGNORED`.

    Example:
        >>> image, labels = draw_street(192, 128, np.random.default_rng(0))
        >>> image.shape, labels.shape
        ((128, 192, 3), (128, 192))
    """
    scene = _Scene(width, height, rng)
    _paint_sky(scene)
    _paint_skyline(scene)
    street = _paint_ground(scene)
    objects = [*_buildings(scene, street), *_trees(scene, street), *_cars(scene, street)]
    objects += [*_poles(scene, street), *_pedestrians(scene, street), *_bicycles(scene, street)]
    for _, paint in sorted(objects, key=lambda item: -item[0]):
        paint()
    _paint_bonnet(scene)
    return _photograph(scene, noise), scene.labels


@dataclass
class _Street:
    """Where the street's parts lie, in metres from its middle."""

    kerb: float
    wall: float


class _Scene:
    """A camera, the image it sees and the labels of what it sees.

    Attributes:
        image (numpy.ndarray): RGB image, uint8.
        labels (numpy.ndarray): Labels, uint8.
        rng (numpy.random.Generator): The scene's source of randomness.
    """

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height, self.rng = width, height, rng
        self.image = np.zeros((height, width, 3), np.uint8)
        self.labels = np.full((height, width), SKY, np.uint8)
        self.focal = 0.85 * height
        self.eye = rng.uniform(2.0, 2.4)
        self.middle = width * rng.uniform(0.42, 0.58)
        self.horizon = height * rng.uniform(0.42, 0.5)
        self.haze_colour = [channel * rng.uniform(0.85, 1.1) for channel in (186, 196, 206)]
        self.haze_range = rng.uniform(45, 160)

    def project(self, x: float, y: float, z: float) -> Point:
        """Pixel at which the camera sees a point given in metres."""
        scale = self.focal / z
        return self.middle + x * scale, self.horizon + (self.eye - y) * scale

    def hazy(self, colour: Colour, z: float) -> Colour:
        """A colour as it looks through ``z`` metres of air."""
        share = math.exp(-z / self.haze_range)
        return tuple(
            share * own + (1 - share) * haze for own, haze in zip(colour, self.haze_colour)
        )

    def fill(self, points: list[Point] | list[list[Point]], colour: Colour, label: int) -> None:
        """Paint one polygon, or several at once, given in pixels."""
        polygons = [points] if isinstance(points[0], tuple) else points
        one = 2**SUBPIXEL_BITS
        fixed = [np.rint(np.multiply(polygon, one)).astype(np.int32) for polygon in polygons]
        cv2.fillPoly(self.image, fixed, colour, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.fillPoly(self.labels, fixed, label, cv2.LINE_8, SUBPIXEL_BITS)

    def ellipse(self, centre: Point, axes: Point, colour: Colour, label: int) -> None:
        """Paint a filled ellipse, given in pixels."""
        one = 2**SUBPIXEL_BITS
        fixed = [tuple(round(v * one) for v in pair) for pair in (centre, axes)]
        for canvas, value in ((self.image, colour), (self.labels, label)):
            cv2.ellipse(canvas, *fixed, 0, 0, 360, value, -1, cv2.LINE_8, SUBPIXEL_BITS)

    def quad(self, corners: list[tuple[float, float, float]], colour: Colour, label: int) -> None:
        """Paint a flat polygon whose corners are given in metres."""
        haze = self.hazy(colour, sum(z for *_, z in corners) / len(corners))
        self.fill([self.project(*corner) for corner in corners], haze, label)

    def upright(self, x: float, z: float, shape: list[Point], colour: Colour, label: int) -> None:
        """Paint a polygon that stands on the ground facing the camera.

        ``shape`` holds (sideways, up) in metres from the point of the ground at ``(x, z)``.
        """
        self.quad([(x + dx, y, z) for dx, y in shape], colour, label)

    def pick(self, options: tuple) -> object:
        """One of the options, each as likely."""
        return options[self.rng.integers(len(options))]

    def tinted(self, colour: Colour, spread: float = 14.0) -> np.ndarray:
        """A colour a little off the given one."""
        return (self.rng.normal(0, spread, 3) + colour).clip(0, 255)

    def blotches(self, columns: int, rows: int) -> np.ndarray:
        """Smooth noise of unit height, with that many blotches across and down the image."""
        coarse = self.rng.standard_normal((rows, columns), dtype=np.float32)
        return cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_CUBIC)


def _box(left: float, bottom: float, right: float, top: float) -> list[Point]:
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _taper(bottom: float, wide: float, top: float, narrow: float) -> list[Point]:
    """A symmetric quadrilateral: ``wide`` to either side at the bottom, ``narrow`` at the top."""
    return [(-wide, bottom), (wide, bottom), (narrow, top), (-narrow, top)]


# --- background -------------------------------------------------------------------------------


def _paint_sky(scene: _Scene) -> None:
    """A gradient with clouds."""
    zenith = scene.tinted(scene.pick(((84, 132, 196), (150, 164, 182), (118, 122, 150))))
    low = scene.tinted(scene.pick(((196, 212, 226), (206, 206, 204), (228, 190, 158))), 8)
    share = np.linspace(0, 1.6, scene.height).clip(0, 1)[:, None, None]
    sky = (zenith + share * (low - zenith)).astype(np.float32)
    clouds = 0.7 * (scene.blotches(4, 9) - scene.rng.uniform(-0.3, 1.2)).clip(0, 1)[..., None]
    scene.image[:] = sky + clouds * (238 - sky)


def _paint_skyline(scene: _Scene) -> None:
    """Distant houses and woods along the horizon, and grass below it."""
    rng, step = scene.rng, scene.width / 12
    for i in range(12):
        top = scene.horizon - scene.height * rng.uniform(0.02, 0.09)
        wood = rng.random() < 0.5
        colour = scene.tinted((70, 92, 62) if wood else scene.pick(WALLS))
        block = _box((i - 0.3) * step, scene.horizon + 2, (i + 1.2) * step, top)
        scene.fill(block, scene.hazy(colour, 70), VEGETATION if wood else BUILDING)
    grass = scene.tinted((92, 108, 66))
    scene.fill(_box(0, scene.height, scene.width, scene.horizon), scene.hazy(grass, 15), VEGETATION)


def _paint_ground(scene: _Scene) -> _Street:
    """Sidewalks and road, with their seams, markings and patches."""
    rng = scene.rng
    kerb = rng.uniform(3.4, 4.4)
    street = _Street(kerb, wall=kerb + rng.uniform(2.0, 3.2))
    paving, asphalt = scene.tinted((158, 150, 142)), scene.tinted((92, 94, 98), 8)
    _strip(scene, -street.wall, street.wall, 1, 90, paving, SIDEWALK)
    for z in np.arange(3, 30, rng.uniform(0.8, 2.0)):
        _strip(scene, -street.wall, street.wall, z, z * 1.01 + 0.03, paving * 0.82, SIDEWALK)
    for side in (-1, 1):
        _strip(scene, side * kerb, side * (kerb + 0.18), 1, 90, paving * 1.18, SIDEWALK)
    _strip(scene, -kerb, kerb, 1, 90, asphalt, ROAD)
    _paint_markings(scene, street, asphalt)
    return street


def _paint_markings(scene: _Scene, street: _Street, asphalt: np.ndarray) -> None:
    """What lies flat on the road and is road: patches, lane lines, a zebra crossing."""
    rng = scene.rng
    for _ in range(4):
        x, z = rng.uniform(-street.kerb, street.kerb - 1.5), rng.uniform(3, 18)
        length, shade = rng.uniform(0.6, 4), rng.uniform(0.75, 1.2)
        _strip(scene, x, x + 1.5, z, z + length, asphalt * shade, ROAD)
    paint = scene.tinted((208, 206, 196), 8)
    for z in np.arange(2, 60, 6.0) + rng.uniform(0, 5):
        _strip(scene, -0.08, 0.08, z, z + 2.5, paint, ROAD)
    if rng.random() < 0.4:
        z = rng.uniform(6, 16)
        for x in np.arange(-street.kerb + 0.3, street.kerb - 0.4, 1.0):
            _strip(scene, x, x + 0.5, z, z + 2.6, paint, ROAD)


def _strip(
    scene: _Scene, x0: float, x1: float, z0: float, z1: float, colour: Colour, label: int
) -> None:
    """A rectangle on the ground."""
    scene.quad([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], colour, label)


# --- things that stand --------------------------------------------------------------------------
# The plural functions list (depth, painter) pairs, the singular ones give the painter of one thing.

Painter = tuple[float, Callable[[], None]]


def _buildings(scene: _Scene, street: _Street) -> list[Painter]:
    """Two rows of houses with gaps."""
    rng, objects = scene.rng, []
    for side in (-1, 1):
        z = rng.uniform(1.5, 9)
        while z < 75:
            length = rng.uniform(6, 15)
            house = _house(scene, side * street.wall, z, z + length, rng.uniform(3.2, 8.5))
            # Sorted by the far end, so that what stands before the wall is painted after it.
            objects.append((z + length, house))
            z += length + (rng.uniform(4, 16) if rng.random() < 0.7 else 0)
    return objects


def _house(scene: _Scene, x: float, z0: float, z1: float, height: float) -> Callable[[], None]:
    rng = scene.rng
    wall = scene.tinted(scene.pick(WALLS))
    glass = scene.tinted(scene.pick(((52, 60, 72), (120, 138, 152), (206, 188, 130))))
    outward = np.sign(x) * 9
    columns = np.arange(z0 + 0.8, z1 - 1.2, rng.uniform(1.8, 2.8))
    floors = np.arange(1.0, height - 1.4, 2.6)
    pipes = rng.uniform(z0, z1, rng.integers(0, 3))
    shop = scene.tinted(scene.pick(SIGN_STYLES)[1], 20)
    shop_z = rng.uniform(z0, z1 - 1) if rng.random() < 0.6 else None

    def on_wall(y0: float, y1: float, near: float, far: float) -> list[Point]:
        near, far = max(near, 1.2), max(far, 1.2)
        corners = ((y0, near), (y0, far), (y1, far), (y1, near))
        return [scene.project(x, y, z) for y, z in corners]

    def paint() -> None:
        middle = (z0 + z1) / 2
        front = _box(0, 0, outward, height)
        scene.upright(x, max(z0, 1.2), front, wall * 0.72, BUILDING)
        scene.fill(on_wall(0, height, z0, z1), scene.hazy(wall, middle), BUILDING)
        windows = [on_wall(y, y + 1.4, z, z + 1.0) for y in floors for z in columns]
        if windows:
            scene.fill(windows, scene.hazy(glass, middle), BUILDING)
        for z in pipes:
            scene.fill(on_wall(0, height, z, z + 0.16), scene.hazy((96, 98, 100), z), BUILDING)
        if shop_z is not None:
            scene.fill(on_wall(2.3, 3.1, shop_z, shop_z + 1), scene.hazy(shop, shop_z), BUILDING)

    return paint


def _trees(scene: _Scene, street: _Street) -> list[Painter]:
    rng, objects = scene.rng, []
    for _ in range(rng.integers(4, 10)):
        x, z = _on_sidewalk(scene, street), rng.uniform(8, 40)
        objects.append((z, _tree(scene, x, z)))
    return objects


def _tree(scene: _Scene, x: float, z: float) -> Callable[[], None]:
    rng = scene.rng
    trunk, leaf = scene.tinted((88, 74, 62), 10), scene.tinted((72, 98, 52))
    crown = rng.uniform(1.7, 3.0)
    puffs = rng.uniform(-1, 1, (9, 2))
    shades = rng.uniform(0.7, 1.25, 9)

    def paint() -> None:
        scene.upright(x, z, _box(-0.11, 0, 0.11, crown + 0.6), trunk, VEGETATION)
        for (dx, dy), shade in zip(puffs, shades):
            centre = scene.project(x + dx * 0.9, crown + 1.0 + dy * 0.7, z)
            size = scene.focal / z * 0.75
            colour = scene.hazy(leaf * shade, z)
            scene.ellipse(centre, (size, size * 0.8), colour, VEGETATION)

    return paint


def _cars(scene: _Scene, street: _Street) -> list[Painter]:
    """Parked cars along the kerb, and sometimes one in a lane."""
    rng, objects = scene.rng, []
    for _ in range(rng.integers(1, 5)):
        x, z = rng.choice((-1, 1)) * (street.kerb - 1.05), rng.uniform(7, 35)
        objects.append((z, _car(scene, x, z)))
    for _ in range(rng.integers(0, 2)):
        x, z = rng.choice((-1, 1)) * street.kerb * 0.35, rng.uniform(10, 40)
        objects.append((z, _car(scene, x, z)))
    return objects


def _car(scene: _Scene, x: float, z: float) -> Callable[[], None]:
    rng = scene.rng
    body = scene.tinted(scene.pick(CAR_PAINTS))
    glass, lamps = (44, 52, 62), scene.pick(((178, 30, 28), (236, 230, 200)))
    half, top = rng.uniform(0.82, 0.95), rng.uniform(1.35, 1.7)

    def paint() -> None:
        inner = x - np.sign(x) * half
        flank = [(inner, y, d) for y, d in ((0.25, z), (0.25, z + 4), (0.9, z + 4), (0.9, z))]
        left, right = x - half * 0.8, x + half * 0.8
        roof = [(left, top, z), (right, top, z), (right, top, z + 3), (left, top, z + 3)]
        scene.quad(flank, body * 0.8, CAR)
        scene.quad(roof, body * 0.9, CAR)
        scene.upright(x, z, _box(-half, 0, -half + 0.22, 0.4), (22, 22, 24), CAR)
        scene.upright(x, z, _box(half - 0.22, 0, half, 0.4), (22, 22, 24), CAR)
        scene.upright(x, z, _box(-half, 0.22, half, 0.92), body, CAR)
        scene.upright(x, z, _taper(0.9, half * 0.94, top, half * 0.76), body * 0.85, CAR)
        scene.upright(x, z, _taper(0.96, half * 0.8, top - 0.1, half * 0.66), glass, CAR)
        for side in (-1, 1):
            lamp = _box(side * half * 0.92, 0.6, side * half * 0.66, 0.78)
            scene.upright(x, z, lamp, lamps, CAR)

    return paint


def _on_sidewalk(scene: _Scene, street: _Street) -> float:
    """A sideways position on either sidewalk."""
    inside = scene.rng.uniform(street.kerb + 0.3, street.wall - 0.4)
    return float(scene.rng.choice((-1, 1)) * inside)


def _poles(scene: _Scene, street: _Street) -> list[Painter]:
    """Street lamps and sign posts."""
    rng, objects = scene.rng, []
    for _ in range(rng.integers(0, 3)):
        side, z = rng.choice((-1, 1)), rng.uniform(10, 23)
        objects.append((z, _lamp(scene, side * (street.kerb + 0.35), z)))
    for _ in range(1 + (rng.random() < 0.5)):
        side, z = rng.choice((-1, 1)), rng.uniform(9.5, 17)
        objects.append((z, _sign_post(scene, side * (street.kerb + 0.5), z)))
    return objects


def _lamp(scene: _Scene, x: float, z: float) -> Callable[[], None]:
    rng = scene.rng
    steel = scene.tinted(scene.pick(((70, 74, 78), (128, 130, 132), (84, 96, 84))), 10)
    height, reach = rng.uniform(3.5, 5.0), -np.sign(x) * rng.uniform(0.7, 1.4)

    def paint() -> None:
        scene.upright(x, z, _box(-0.08, 0, 0.08, height), steel, POLE)
        scene.upright(x, z, _box(0, height - 0.1, reach, height), steel, POLE)

    return paint


def _sign_post(scene: _Scene, x: float, z: float) -> Callable[[], None]:
    rng = scene.rng
    steel = scene.tinted((120, 122, 124), 12)
    shape, edge, face = scene.pick(SIGN_STYLES)
    edge, face = scene.tinted(edge, 18), scene.tinted(face, 12)
    height, size = rng.uniform(2.2, 2.8), rng.uniform(0.38, 0.5)

    def paint() -> None:
        scene.upright(x, z, _box(-0.05, 0, 0.05, height), steel, POLE)
        for radius, colour in ((size, edge), (size * 0.62, face)):
            if shape == 'disc':
                pixels = radius * scene.focal / z
                centre = scene.project(x, height, z)
                scene.ellipse(centre, (pixels, pixels), scene.hazy(colour, z), SIGN)
                continue
            low, high = height - radius, height + radius
            corners = _box(-radius, low, radius, high)
            if shape == 'triangle':
                corners = [(-radius * 1.1, low), (radius * 1.1, low), (0, high)]
            scene.upright(x, z, corners, colour, SIGN)

    return paint


def _pedestrians(scene: _Scene, street: _Street) -> list[Painter]:
    rng, objects = scene.rng, []
    for _ in range(rng.integers(1, 4)):
        crossing = rng.random() < 0.2
        x = rng.uniform(-street.kerb, street.kerb) if crossing else _on_sidewalk(scene, street)
        z = rng.uniform(8, 17)
        objects.append((z, _pedestrian(scene, x, z)))
    return objects


def _pedestrian(scene: _Scene, x: float, z: float) -> Callable[[], None]:
    rng = scene.rng
    coat, trousers = scene.tinted(scene.pick(CLOTHES)), scene.tinted(scene.pick(CLOTHES))
    skin = scene.tinted(scene.pick(((214, 172, 146), (150, 108, 82), (98, 70, 56))), 8)
    tall, stride = rng.uniform(1.5, 1.9), rng.uniform(0.02, 0.3)

    def paint() -> None:
        hip, neck = 0.48 * tall, 0.84 * tall
        for foot in (-stride, stride):
            leg = [(foot - 0.09, 0), (foot + 0.09, 0), (0.14, hip), (-0.14, hip)]
            scene.upright(x, z, leg, trousers, PEDESTRIAN)
        torso = [(-0.2, hip - 0.05), (0.2, hip - 0.05), (0.25, neck - 0.08), (0.1, neck)]
        torso += [(-0.1, neck), (-0.25, neck - 0.08)]
        scene.upright(x, z, torso, coat, PEDESTRIAN)
        radius = 0.12 * scene.focal / z
        head = scene.project(x, 0.92 * tall, z)
        scene.ellipse(head, (radius, radius * 1.15), scene.hazy(skin, z), PEDESTRIAN)

    return paint


def _bicycles(scene: _Scene, street: _Street) -> list[Painter]:
    rng, objects = scene.rng, []
    for _ in range(rng.integers(1, 3)):
        side, z = rng.choice((-1, 1)), rng.uniform(8.5, 19)
        x = side * (street.kerb + rng.uniform(-0.5, 1.2))
        objects.append((z, _bicycle(scene, x, z)))
    return objects


def _bicycle(scene: _Scene, x: float, z: float) -> Callable[[], None]:
    rng = scene.rng
    frame = scene.tinted(scene.pick(((160, 40, 44), (40, 70, 130), (36, 38, 42), (60, 120, 80))))
    half, wheel = rng.uniform(0.4, 0.52), 0.34

    def bar(x0: float, y0: float, x1: float, y1: float) -> None:
        width = 0.045 / math.hypot(x1 - x0, y1 - y0)
        ax, ay = -width * (y1 - y0), width * (x1 - x0)
        corners = [(x0 + ax, y0 + ay), (x0 - ax, y0 - ay), (x1 - ax, y1 - ay), (x1 + ax, y1 + ay)]
        scene.upright(x, z, corners, frame, BICYCLE)

    def paint() -> None:
        # Wheels are labelled whole, spokes and gaps alike, as annotators outline them.
        for hub in (-half, half):
            centre, radius = scene.project(x + hub, wheel, z), wheel * scene.focal / z
            scene.ellipse(centre, (radius, radius), scene.hazy((30, 30, 32), z), BICYCLE)
            inside = scene.hazy((112, 112, 112), z)
            scene.ellipse(centre, (radius * 0.72, radius * 0.72), inside, BICYCLE)
        bar(-half, wheel, -0.12, 0.8)
        bar(-half, wheel, 0.0, 0.36)
        bar(0.0, 0.36, 0.32, 0.84)
        bar(-0.12, 0.8, 0.32, 0.84)
        bar(half, wheel, 0.28, 1.0)
        bar(-0.26, 0.92, 0.0, 0.92)

    return paint


def _paint_bonnet(scene: _Scene) -> None:
    """The camera car's own bonnet at the lower edge."""
    centre = (scene.width * scene.rng.uniform(0.45, 0.55), scene.height * 1.04)
    axes = (scene.width * 0.4, scene.height * scene.rng.uniform(0.07, 0.1))
    scene.ellipse(centre, axes, tuple(scene.tinted((44, 48, 56))), IGNORED)


# --- light ------------------------------------------------------------------------------------


def _photograph(scene: _Scene, strength: float) -> np.ndarray:
    """The image as a camera records it: uneven light, shadows, colour cast, blur and noise."""
    rng = scene.rng
    light = 1 + 0.06 * scene.blotches(9, 6) + 0.03 * scene.blotches(48, 32)
    light *= _shadows(scene)
    cast = rng.uniform(0.68, 1.2) * rng.uniform(0.93, 1.07, 3)
    noise = rng.standard_normal((scene.height, scene.width), dtype=np.float32)
    noise *= strength * rng.uniform(3, 10)
    blurred = cv2.GaussianBlur(scene.image, (0, 0), rng.uniform(0.35, 0.7))
    lit = blurred * (light[..., None] * cast.astype(np.float32)) + noise[..., None]
    return np.ascontiguousarray(lit.clip(0, 255).astype(np.uint8)[..., ::-1])


def _shadows(scene: _Scene) -> np.ndarray:
    """Factor of the light that shadows of houses and trees across the street leave."""
    rng = scene.rng
    factor = np.ones((scene.height, scene.width), np.float32)
    for _ in range(rng.integers(0, 4)):
        z, slant = rng.uniform(3, 18), rng.uniform(-3, 3)
        corners = [(-12, z), (12, z + slant), (12, z + slant + rng.uniform(1, 5)), (-12, z + 4)]
        points = [scene.project(x, 0, max(d, 1.2)) for x, d in corners]
        shadow = np.asarray(points).round().astype(np.int32)
        cv2.fillPoly(factor, [shadow], float(rng.uniform(0.5, 0.75)))
    return cv2.blur(factor, (3, 3))
