"""Which row a URL or a bind means: primary and alternate keys."""
import re
from urllib.parse import unquote

from . import odata, values
from .errors import ApiError, bad_payload, bad_query, no_row, no_row_by_key
from .org import FORBIDDEN_IN_KEYS


class Addresses:
    def read_key(self, table, text):
        """Inside of the parentheses -> ('id', guid, None) or ('key', key, {column: kept value}, text)."""
        text = text.strip()
        if values.GUID.match(text):
            return ("id", text.lower(), None)
        decoded = [unquote(p) for p in odata.split_list(text)]
        given = {}
        for part in decoded:
            name, sep, value = part.partition("=")
            if not sep:
                raise bad_query("Bad Request - Error in query syntax.")
            given[name.strip()] = value.strip()
        if list(given) == [table.pk]:
            if not values.GUID.match(given[table.pk]):
                raise bad_query("Bad Request - Error in query syntax.")
            return ("id", given[table.pk].lower(), None)
        return self.alternate_key(table, given) + (text,)

    def alternate_key(self, table, given):
        columns = {}
        for name, value in given.items():
            col = table.wire.get(name)
            if col is None:
                raise self.bad_key(table)
            columns[col.name] = self.key_value(table, col, value)
        for key in table.keys:
            if set(key.columns) == set(columns) and self.org.key_active(key):
                return ("key", key, columns)
        raise self.bad_key(table)

    @staticmethod
    def bad_key(table):
        return ApiError(
            400, "0x80060888",
            "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.%s'. Ensure that "
            "the names and number of key properties match the declared or alternate key properties for the "
            "resource 'Microsoft.Dynamics.CRM.%s'." % (table.name, table.name))

    def key_value(self, table, col, text):
        if text.startswith("'"):
            if len(text) < 2 or not text.endswith("'") or re.search(r"'", text[1:-1].replace("''", "")):
                raise bad_query("Bad Request - Error in query syntax.")
            text = text[1:-1].replace("''", "'")
            bad = FORBIDDEN_IN_KEYS.search(text)
            if bad:
                raise ApiError(400, "0x80060888", "A potentially dangerous Request.Path value was detected "
                               "from the client (%s)." % bad.group(0))
            if odata.edm_class(col.type) != "text":
                raise self.bad_key(table)
            return text
        kind = odata.edm_class(col.type)
        try:
            if kind == "number":
                return values.accept(table, col, values.load_json(text))
            if kind in ("guid", "time"):
                return values.accept(table, col, text)
        except (ValueError, ApiError):
            pass
        raise self.bad_key(table)

    def find(self, table, key, when=None):
        """The row a key names, now or as of `when`; None when there is none."""
        rows = self.org.rows[table.name]
        if key[0] == "id":
            return rows.now.get(key[1]) if when is None else rows.as_of(key[1], when)
        wanted = tuple(odata.fold(v) if isinstance(v, str) else v
                       for v in (key[2][c] for c in key[1].columns))
        ids = list(rows.key_index(key[1].columns).get(wanted, ()))
        if when is None:
            return rows.now[ids[0]] if ids else None
        for id in ids + list(rows.changed_since(when)):
            row = rows.as_of(id, when)
            if row is not None and rows.key_of(key[1].columns, row) == wanted:
                return row
        return None

    @staticmethod
    def missing(table, key):
        return no_row(table.name, key[1]) if key[0] == "id" else no_row_by_key(table.name)

    def resolve_reference(self, text):
        """An @odata.bind value -> (table, row)."""
        m = re.match(r"(?:https?://[^/]+)?(?:/api/data/v\d\.\d)?/?(\w+)\((.*)\)\Z", text, re.S)
        table = m and self.org.schema.sets.get(m.group(1))
        if table is None:
            raise bad_payload(m.group(1) if m else "", "Microsoft.OData.ODataException: Resource not found "
                              "for the segment '%s'" % (m.group(1) if m else text))
        key = self.read_key(table, m.group(2))
        row = self.find(table, key)
        if row is None:
            raise self.missing(table, key)
        return table, row
