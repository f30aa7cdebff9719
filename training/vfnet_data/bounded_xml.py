"""Small XML documents that somebody else wrote: no document types, hence no entities, and bounded depth and size."""

from __future__ import annotations

import codecs
import re
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MOST_BYTES = 16 << 20
"""Of a file about one image."""
_DECLARATION = re.compile(rb"\s*<\?xml[^>]{0,100}?\bencoding\s*=\s*[\"']([A-Za-z][\w.-]{0,40})[\"']")
_OF_EXPAT = ("utf-8", "utf-16", "us-ascii", "iso-8859-1")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
        parser.Parse(_decoded(content), True)
        root: Element = builder.close()
    except expat.ExpatError as error:
        raise ValueError(f"not XML: {error}") from None
    except LookupError as error:  # an encoding that Python does not know
        raise ValueError(f"not XML: {error}") from None
    return root


def _decoded(content: bytes) -> str | bytes:
    """As text where the document declares an encoding that expat does not know and Python does, such as GBK.

    Raises:
        ValueError: it is not text of the encoding that it declares or, without declaring any, of UTF-8.
    """
    declared = _DECLARATION.match(content)
    name = declared[1].decode().lower() if declared else "utf-8"
    if content.startswith(_UTF16_MARKS) or (declared and name in _OF_EXPAT):
        return content
    try:
        if not codecs.lookup(name)._is_text_encoding:
            return content
        text = content.decode(name)
    except LookupError:  # as expat will say
        return content
    except UnicodeDecodeError as error:
        said = f"is no {name}, which it declares" if declared else "is no UTF-8, and no other encoding is declared"
        raise ValueError(f"not XML: byte {error.start} {said}") from None
    return text if declared else content
