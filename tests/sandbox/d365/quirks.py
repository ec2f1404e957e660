"""What a customised organisation does with values that are written to it.

A quirk is JSON: {"table","column","quirk", ...}. Kinds, with what else they take:
  round, truncate    "digits" (may be negative); truncate with "length" cuts text
  ignore             accepts the value and keeps the old one
  refuse             "status", "code", "message": an error that names the column (the documented text of the code)
  refuse-unnamed     a custom rule refuses (0x80040265) and does not say which column is meant; "message"
  trim, uppercase, nfc, crlf                       text is stored another way
  calculated         never writable; "template": "{name} x", or "columns": [..] added up, times "factor"
  unreadable         column security: absent from answers ("as":"null": null); "write": false refuses writing it
  read-only          the whole table cannot be written (no column)
For all that act on a value: "values": [..] only for these, "on": "create"|"update", "rows": [ids], "times": n.
refuse and refuse-unnamed may leave the column out: then every write to the table is meant.
"""
import itertools
import unicodedata
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from . import values
from .errors import ApiError

MEMBERS = {"table", "column", "quirk", "digits", "length", "status", "code", "message", "template", "columns",
           "factor", "as", "write", "values", "on", "rows", "times"}
KINDS = ("round", "truncate", "ignore", "refuse", "refuse-unnamed", "trim", "uppercase", "nfc", "crlf",
         "calculated", "unreadable", "read-only")
PLUGIN = "The record could not be saved because a business rule of this organization forbids it."


class Quirk:
    def __init__(self, number, table, doc):
        unknown = set(doc) - MEMBERS
        if unknown:
            raise ValueError("unknown member %s of a quirk; allowed: %s"
                             % (", ".join(sorted(unknown)), ", ".join(sorted(MEMBERS))))
        self.kind = doc.get("quirk")
        if self.kind not in KINDS:
            raise ValueError("quirk must be one of %s" % ", ".join(KINDS))
        self.id = number
        self.doc = doc
        self.table = table
        self.column = doc.get("column")
        if self.column is None and self.kind not in ("read-only", "refuse", "refuse-unnamed"):
            raise ValueError("the quirk %s needs a column" % self.kind)
        if self.column is not None and self.column not in table.columns:
            raise ValueError("table %s has no column %s" % (table.name, self.column))
        self.values = {comparable(v) for v in doc["values"]} if "values" in doc else None
        self.on = doc.get("on")
        self.rows = {r.lower() for r in doc["rows"]} if "rows" in doc else None
        self.left = int(doc.get("times", 0)) or None
        self.hits = 0

    def state(self):
        return {**self.doc, "id": self.id, "hits": self.hits}

    def meant(self, value, id, creating):
        if self.left == 0 or (self.on and (self.on == "create") != creating):
            return False
        if self.rows is not None and id not in self.rows:
            return False
        if self.values is not None and comparable(value) not in self.values:
            return False
        if self.left:
            self.left -= 1
        self.hits += 1
        return True

    def apply(self, value):
        """The value as it is stored; only for kinds that change one."""
        if value is None:
            return None
        if isinstance(value, (Decimal, float, int)) and not isinstance(value, bool):
            return self.number(value)
        return self.text(value) if isinstance(value, str) else value

    def number(self, value):
        if self.kind not in ("round", "truncate"):
            return value
        how = ROUND_HALF_UP if self.kind == "round" else ROUND_DOWN
        out = Decimal(str(value)).quantize(Decimal(1).scaleb(-int(self.doc.get("digits", 0))), rounding=how)
        return type(value)(out)

    def text(self, value):
        kind = self.kind
        if kind == "truncate":
            return value[:int(self.doc.get("length", self.doc.get("digits", 0)))] or None
        if kind == "trim":
            return value.strip() or None
        if kind == "uppercase":
            return value.upper()
        if kind == "nfc":
            return unicodedata.normalize("NFC", value)
        if kind == "crlf":
            return value.replace("\r\n", "\n").replace("\n", "\r\n")
        return value

    def refusal(self, value):
        if self.kind == "refuse-unnamed":
            return ApiError(int(self.doc.get("status", 400)), self.doc.get("code", "0x80040265"),
                            self.doc.get("message", PLUGIN))
        code = self.doc.get("code", "0x80040203")
        return ApiError(int(self.doc.get("status", 400)), code,
                        self.doc.get("message") or self.documented(code, value))

    def documented(self, code, value):
        col = self.table.columns.get(self.column)
        name = self.column or "record"
        if code.lower() == "0x80044331":
            return ("A validation error occurred. The length of the '%s' attribute of the '%s' entity exceeded the "
                    "maximum allowed length of '%s'." % (name, self.table.name, col.max if col else 0))
        if code.lower() in ("0x8004431a", "0x80044330", "0x8004432f"):
            return ("A validation error occurred.  The value %s of '%s' on record of type '%s' is outside the valid "
                    "range." % (value, name, self.table.name))
        return "The value of the attribute '%s' of the entity '%s' is not valid." % (name, self.table.name)

    # calculated

    def compute(self, vals):
        if "template" in self.doc:
            return self.doc["template"].format_map(Known(vals))[:2000] or None
        total = Decimal(0)
        for name in self.doc.get("columns", ()):
            total += Decimal(str(vals.get(name) or 0))
        total *= Decimal(str(self.doc.get("factor", 1)))
        col = self.table.columns[self.column]
        if col.type in ("int", "bigint"):
            return int(total)
        return total if col.type in ("money", "decimal") else str(total)


class Known(dict):
    """Columns without a value read as empty text in a template."""

    def __missing__(self, name):
        return ""


def comparable(value):
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)):
        return Decimal(str(value))
    return value.lower() if isinstance(value, str) and values.GUID.match(value) else value


class Quirks:
    """All quirks of the organisation, wired into the tables they are about."""

    def __init__(self, org):
        self.org = org
        self.all = {}
        self.ids = itertools.count(1)
        self.saved = {}

    def add(self, doc):
        quirk = Quirk(next(self.ids), self.org.table(doc["table"]), doc)
        self.all[quirk.id] = quirk
        self.wire(quirk.table)
        return quirk

    def remove(self, number=None):
        gone = [q for q in self.all.values() if number in (None, q.id)]
        for quirk in gone:
            del self.all[quirk.id]
            self.wire(quirk.table)
        return len(gone)

    def wire(self, table):
        """Sets the table up anew from the quirks it has now."""
        for name, (create, update) in self.saved.pop(table.name, {}).items():
            col = table.columns.get(name)
            if col is not None:
                col.create, col.update, col.source, col.hidden = create, update, 0, None
        table.quirks, table.calculated, table.read_only = {}, {}, False
        for quirk in self.all.values():
            if quirk.table is not table:
                continue
            col = table.columns.get(quirk.column)
            if quirk.kind in ("calculated", "unreadable"):
                self.saved.setdefault(table.name, {}).setdefault(col.name, (col.create, col.update))
            if quirk.kind == "read-only":
                table.read_only = True
            elif quirk.kind == "calculated":
                col.create = col.update = False
                col.source = 1
                table.calculated[col.name] = quirk
            elif quirk.kind == "unreadable":
                col.hidden = quirk.doc.get("as", "absent")
                if quirk.doc.get("write", True) is False:
                    table.quirks.setdefault(col.name, []).append(quirk)
            else:
                table.quirks.setdefault(quirk.column, []).append(quirk)
        rows = self.org.rows[table.name]
        for row in list(rows.now.values()):
            row.pieces.clear()
            if table.calculated:
                compute(table, row.vals)
        self.org.schema.touched()


def compute(table, vals):
    for name, quirk in table.calculated.items():
        value = quirk.compute(vals)
        if value is None:
            vals.pop(name, None)
        else:
            vals[name] = value


def treated(table, changes, id, creating):
    """What becomes of the columns sent, or the refusal. Only for tables that have quirks."""
    out = dict(changes)
    for quirk in table.quirks.get(None, ()):
        if quirk.meant(None, id, creating):
            raise quirk.refusal(None)
    for name, value in changes.items():
        for quirk in table.quirks.get(name, ()):
            if not quirk.meant(value, id, creating):
                continue
            if quirk.kind in ("refuse", "refuse-unnamed"):
                raise quirk.refusal(shown(value))
            if quirk.kind == "unreadable":
                raise ApiError(403, "0x8004F504", "The user does not have update permissions for the secured "
                               "attribute '%s' of the entity '%s'." % (name, table.name))
            if quirk.kind == "ignore":
                out.pop(name, None)
                out.pop(name + "@", None)
                break
            value = out[name] = quirk.apply(value)
    return out


def shown(value):
    return format(value, "f") if isinstance(value, Decimal) else value
