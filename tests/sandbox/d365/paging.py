"""Paging cookies: where a page ended, so that the next one goes on there whatever moved meanwhile."""
from bisect import bisect_right
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from . import odata, values
from .errors import ApiError, bad_query


class Down:
    __slots__ = ("v",)

    def __init__(self, v):
        self.v = v

    def __lt__(self, other):
        return other.v < self.v

    def __eq__(self, other):
        return self.v == other.v


def position_after(found, keys, after):
    """Index of the first row behind the one a paging cookie remembers, even if that one moved or went."""
    def place(row):
        return tuple(Down(odata.nulls_first(g(row))) if d else odata.nulls_first(g(row)) for g, d in keys) + (row.id,)
    last, id = after
    wanted = tuple(Down(odata.nulls_first(v)) if d else odata.nulls_first(v) for v, (_, d) in zip(last, keys)) + (id,)
    return bisect_right(found, wanted, key=place)


def write_cookie(order, table, first, last, number):
    parts = ['<cookie page="%d">' % number]
    for i, (ref, _) in enumerate(order):
        if ref.through is not None:
            raise bad_query("Paging over an order by a related column is not supported.")
        shown = []
        for side, row in (("last", last), ("first", first)):
            v = row.vals.get(ref.col.name)
            shown.append('%snull="1"' % side if v is None else "%s=%s" % (side, quoteattr(str(v))))
        parts.append("<%s %s />" % (ref.col.name, " ".join(shown)))
    parts.append('<%s last="{%s}" first="{%s}" /></cookie>' % (table.pk, last.id.upper(), first.id.upper()))
    return "".join(parts)


def read_cookie(text, order, table):
    try:
        outer = ElementTree.fromstring(text)
        inner = ElementTree.fromstring(unquote(unquote(outer.get("pagingcookie"))))
        number = int(outer.get("pagenumber"))
        parts = list(inner)
        if [p.tag for p in parts] != [ref.col.name for ref, _ in order] + [table.pk]:
            raise ValueError("the cookie belongs to another order")
        last = [cookie_value(ref.col, p) for (ref, _), p in zip(order, parts)]
        return number, (last, parts[-1].get("last").strip("{}").lower())
    except (ElementTree.ParseError, ValueError, TypeError, AttributeError):
        raise ApiError(400, "0x80040203", "Malformed skip token or paging cookie.") from None


def cookie_value(col, part):
    text = part.get("last")
    if text is None:
        return None
    kind = odata.edm_class(col.type)
    if kind == "text":
        return odata.fold(text)
    if kind == "number":
        return values.load_json(text)
    return text == "True" if kind == "boolean" else text
