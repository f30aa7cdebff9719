"""One self-contained page: key figures, then sections with tables and pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure


@dataclass(frozen=True)
class KeyFigure:
    """A number to see first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Text cells; all columns but the first are numbers. Without a head, names and facts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A drawing, and what it shows for those who do not see it."""

    figure: Figure
    alternative: str

    @property
    def address(self) -> str:
        """As a data URI."""
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="svg")
        return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"


@dataclass(frozen=True)
class Section:
    """A heading with what belongs to it."""

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    subtitle: str
    key_figures: Sequence[KeyFigure] = ()
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)

    def to_html(self) -> str:
        """One file that asks for nothing else."""
        environment = Environment(
            loader=PackageLoader("vfnet_load.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        return environment.get_template("page.html").render(page=self)
