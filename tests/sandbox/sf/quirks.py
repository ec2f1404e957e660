"""What a customised organisation does with values that are written to it, and its validation rules.

A quirk is JSON: {"table","column","quirk", ...}. Kinds, with what else they take:
  round, truncate    "digits" (may be negative); truncate with "length" cuts text
  ignore             accepts the value and keeps the old one
  replace            a flow that runs while the record is saved puts "as" in its place
  refuse             a validation rule at the field: FIELD_CUSTOM_VALIDATION_EXCEPTION with its name in `fields`;
                     "code", "message", "status", "fields"
  refuse-unnamed     a validation rule at the top of the page: the same without a field
  lock               UNABLE_TO_LOCK_ROW (use "times")
  trim, uppercase, lowercase, nfc, crlf            text is stored another way
  calculated         a formula field: never writable; "template": "{Name} x", or "columns": [..] added up, times "factor"
  unreadable         field-level security hides it: there is no such column; "write" does not matter
  read-only          the field (or without a column the whole sObject) may not be edited
For all that act on a value: "values": [..] only for these, "on": "create"|"update", "rows": [ids], "times": n.
refuse, refuse-unnamed and lock may leave the column out: then every write to the sObject is meant.
"""
import itertools
import unicodedata
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from . import ids
from .errors import ApiError
from .values import fold

MEMBERS = {"table", "column", "quirk", "digits", "length", "status", "code", "message", "template", "columns",
           "factor", "write", "values", "on", "rows", "times", "fields", "as"}
KINDS = ("round", "truncate", "ignore", "replace", "refuse", "refuse-unnamed", "lock", "trim", "uppercase", "lowercase", "nfc",
         "crlf", "calculated", "unreadable", "read-only")
WHOLE = ("read-only", "refuse", "refuse-unnamed", "lock")
RULE = "The record cannot be saved because a rule of this organization forbids it."
LOCK = "unable to obtain exclusive access to this record"


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
        name = doc.get("column")
        if name is None and self.kind not in WHOLE:
            raise ValueError("the quirk %s needs a column" % self.kind)
        if name is not None and table.field(name) is None:
            raise ValueError("%s has no field %s" % (table.name, name))
        self.column = table.field(name).name if name is not None else None
        self.values = {fold(v) for v in doc["values"]} if "values" in doc else None
        self.on = doc.get("on")
        self.rows = {ids.canonical(r) for r in doc["rows"]} if "rows" in doc else None
        self.left = int(doc.get("times", 0)) or None
        self.hits = 0

    def state(self):
        return {**self.doc, "id": self.id, "hits": self.hits}

    def meant(self, value, id, creating):
        if self.left == 0 or (self.on and (self.on == "create") != creating):
            return False
        if self.rows is not None and id not in self.rows:
            return False
        if self.values is not None and fold(value) not in self.values:
            return False
        if self.left:
            self.left -= 1
        self.hits += 1
        return True

    def apply(self, value):
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self.number(value)
        return self.text(value)

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
        if kind == "lowercase":
            return value.lower()
        if kind == "nfc":
            return unicodedata.normalize("NFC", value)
        if kind == "crlf":
            return value.replace("\r\n", "\n").replace("\n", "\r\n")
        return value

    def refusal(self):
        if self.kind == "lock":
            return ApiError(400, "UNABLE_TO_LOCK_ROW", self.doc.get("message", LOCK), ())
        fields = self.doc.get("fields")
        if fields is None:
            fields = (self.column,) if self.kind == "refuse" and self.column else ()
        return ApiError(int(self.doc.get("status", 400)), self.doc.get("code", "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
                        self.doc.get("message", RULE), fields)

    def compute(self, vals):
        if "template" in self.doc:
            return self.doc["template"].format_map(Known(vals)) or None
        total = sum(float(vals.get(name) or 0) for name in self.doc.get("columns", ()))
        total *= float(self.doc.get("factor", 1))
        kind = self.table.fields[self.column].type
        return int(total) if kind == "int" else total if kind in ("double", "currency", "percent") else str(total)


class Known(dict):
    """Fields without a value read as empty text in a template."""

    def __missing__(self, name):
        return ""


class Quirks:
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
        """Sets the sObject up anew from the quirks it has now."""
        for field, (create, update, hidden, calculated) in self.saved.pop(table.name, {}).items():
            field.create, field.update, field.hidden, field.calculated = create, update, hidden, calculated
        table.quirks, table.computed, table.read_only = {}, {}, False
        for quirk in self.all.values():
            if quirk.table is not table:
                continue
            field = table.fields.get(quirk.column)
            if field is not None and quirk.kind in ("calculated", "unreadable", "read-only"):
                self.saved.setdefault(table.name, {}).setdefault(
                    field, (field.create, field.update, field.hidden, field.calculated))
            if quirk.kind == "read-only" and field is None:
                table.read_only = True
            elif quirk.kind == "read-only":
                field.create = field.update = False
            elif quirk.kind == "calculated":
                field.create = field.update = False
                field.calculated = True
                table.computed[field.name] = quirk
            elif quirk.kind == "unreadable":
                field.hidden = True
            else:
                table.quirks.setdefault(quirk.column, []).append(quirk)
        table.refresh()
        self.org.touched(table)
        if table.computed:
            rows = self.org.rows[table.name]
            for id, vals in list(rows.now.items()):
                rows.put(id, compute(table, dict(vals)))


def compute(table, vals):
    for name, quirk in table.computed.items():
        value = quirk.compute(vals)
        if value is None:
            vals.pop(name, None)
        else:
            vals[name] = value
    return vals


def treated(table, changes, id, creating):
    """What becomes of the values sent, or the refusal. Only for sObjects that have quirks."""
    out = dict(changes)
    for quirk in table.quirks.get(None, ()):
        if quirk.meant(None, id, creating):
            raise quirk.refusal()
    for name, value in changes.items():
        for quirk in table.quirks.get(name, ()):
            if not quirk.meant(value, id, creating):
                continue
            if quirk.kind in ("refuse", "refuse-unnamed", "lock"):
                raise quirk.refusal()
            if quirk.kind == "ignore":
                out.pop(name, None)
                break
            if quirk.kind == "replace":
                value = out[name] = quirk.doc.get("as")
                continue
            value = out[name] = quirk.apply(value)
    return out
