"""A comparison as an SVG picture: what can come out against what it costs.

Written by hand: a picture of dots needs no library, which would be the largest
dependency by far and the slowest to load.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from memhp.model.compare.comparison import Comparison, Row

_WIDTH, _HEIGHT = 860, 420
_LEAST_SPAN: Final = 0.02
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 330, 40, 60
_COLOURS: Final = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5")
_TICKS: Final = 5
_LINE: Final = 16
_NEAR: Final = 8


def plot_comparison(result: Comparison) -> str:
    """Draw it: memory that can come out upwards, access latency to the right, with intervals."""
    low = min(row.latency.low for row in result.rows)
    high = max(row.latency.high for row in result.rows)
    # An axis that says the same at every mark is none.
    room = max((high - low) * 0.05, (_LEAST_SPAN - (high - low)) / 2)
    scale = _Scale(low - room, high + room)
    return "\n".join(_picture(result, scale)) + "\n"


class _Scale:
    """From figures to places in the picture."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def x(self, latency: float) -> float:
        width = _WIDTH - _LEFT - _RIGHT
        return _LEFT + (latency - self.low) / (self.high - self.low) * width

    def y(self, share: float) -> float:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _picture(result: Comparison, scale: _Scale) -> Iterator[str]:
    height = max(_HEIGHT, _TOP + _LINE * (len(result.rows) + 1))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    yield from _axes(scale)
    policies = list(dict.fromkeys(row.combination.policy for row in result.rows))
    for number, row in enumerate(result.rows):
        colour = _COLOURS[policies.index(row.combination.policy) % len(_COLOURS)]
        yield from _dot(row, number, colour, scale)
    yield from _numbers(result.rows, scale)
    yield "</svg>"


def _axes(scale: _Scale) -> Iterator[str]:
    left, right, floor = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for step in range(_TICKS + 1):
        share = step / _TICKS
        y = scale.y(share)
        yield f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        latency = scale.low + share * (scale.high - scale.low)
        x = scale.x(latency)
        yield f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{latency:.3f}</text>'
    yield f'<line x1="{left}" y1="{floor}" x2="{right}" y2="{floor}" stroke="black"/>'
    yield f'<line x1="{left}" y1="{_TOP}" x2="{left}" y2="{floor}" stroke="black"/>'
    middle = (left + right) / 2
    yield (
        f'<text x="{middle}" y="{_HEIGHT - 16}" text-anchor="middle">'
        "mean access latency, the unrestricted machine being 1</text>"
    )
    yield f'<text x="{left}" y="{_TOP - 16}">memory that can be taken out</text>'


def _dot(row: Row, number: int, colour: str, scale: _Scale) -> Iterator[str]:
    """A combination: its means, its intervals both ways, and its name in the list."""
    x, y = scale.x(row.latency.mean), scale.y(row.out.mean)
    x1, x2 = scale.x(row.latency.low), scale.x(row.latency.high)
    y1, y2 = scale.y(row.out.low), scale.y(row.out.high)
    for line in ((x1, y, x2, y), (x, y1, x, y2)):
        a, b, c, d = (f"{value:.1f}" for value in line)
        yield f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="{colour}" opacity="0.5"/>'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    name = escape(f"{number + 1}  {row.combination}")
    beside, down = _WIDTH - _RIGHT + 20, _TOP + _LINE * number
    yield f'<text x="{beside}" y="{down}" fill="{colour}">{name}</text>'


def _numbers(rows: Sequence[Row], scale: _Scale) -> Iterator[str]:
    """The numbers of the dots; those that lie on each other stand side by side."""
    near: dict[tuple[int, int], list[str]] = {}
    for number, row in enumerate(rows, 1):
        x, y = scale.x(row.latency.mean), scale.y(row.out.mean)
        near.setdefault((round(x / _NEAR), round(y / _NEAR)), []).append(str(number))
    for (x, y), numbers in near.items():
        text = ", ".join(numbers)
        yield f'<text x="{x * _NEAR + 7}" y="{y * _NEAR - 7}" font-size="10">{text}</text>'
