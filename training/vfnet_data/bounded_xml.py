"""Small XML documents that somebody else wrote: no document types, hence no entities, and bounded depth and size."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MOST_BYTES = 16 << 20
"""Of a file about one image."""
_DEEPEST = 32
_MOST_ELEMENTS = 100_000


def parse_xml(content: bytes) -> Element:
    """The root element of a document; attributes, comments and processing instructions are passed over.

    Raises:
        ValueError: it is no XML, has a document type (which may define entities that expand without end), is nested
            more deeply than annotations are, or has more elements.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = elements = 0

    def start(tag: str, _attributes: object) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} elements deep")
        if elements > _MOST_ELEMENTS:
            raise ValueError(f"it has more than {_MOST_ELEMENTS:,} elements")
        builder.start(tag, {})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type or entities, which are not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
        root: Element = builder.close()
    except expat.ExpatError as error:
        raise ValueError(f"not XML: {error}") from None
    except LookupError as error:  # an encoding that Python does not know
        raise ValueError(f"not XML: {error}") from None
    return root
