"""Values as they come in, as they are kept, and as they are compared.

Kept: text, bool, int, float, date "YYYY-MM-DD", datetime "YYYY-MM-DDTHH:MM:SS.000+0000", id of 18 characters; no value
is absence.
"""
import calendar
import re
import time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from simlib import parse_iso

from . import ids
from .errors import ApiError, data_error, parser_error
from .schema import NUMBERS, TEXTS

DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)\Z")
ZONED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)\Z", re.I)
EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z0-9]{2,}\Z")
TRUE, FALSE = ("true", "1"), ("false", "0")


def stamp(when):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime(when))


def epoch(text):
    """Seconds of a kept datetime."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def real_date(text):
    m = DATE.match(text)
    if m is None:
        return False
    try:
        time.strptime(text, "%Y-%m-%d")
    except ValueError:
        return False
    return 1700 <= int(m.group(1)) <= 4000


def fold(value):
    """What equality and order look at: text without case."""
    return value.casefold() if value.__class__ is str else value


def number(field, value):
    if value.__class__ is bool:
        raise parser_error(field.type if field.type == "int" else "double", value)
    kind = "int" if field.type == "int" else "double"
    try:
        exact = Decimal(str(value) if not isinstance(value, str) else value.strip())
    except InvalidOperation:
        raise parser_error(kind, value) from None
    if not exact.is_finite() or (kind == "int" and exact != exact.to_integral_value()):
        raise parser_error(kind, value)
    if kind == "int":
        if abs(exact) > 2 ** 31 - 1 or (field.precision and len(str(abs(int(exact)))) > field.precision):
            raise out_of_range(field, exact)
        return int(exact)
    if exact and exact.adjusted() >= 40:
        raise out_of_range(field, exact)
    exact = exact.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP)
    if exact and exact.adjusted() >= field.precision - field.scale:
        raise out_of_range(field, exact)
    return float(exact)


def out_of_range(field, value):
    return data_error("NUMBER_OUTSIDE_VALID_RANGE", "%s: value outside of valid range on numeric field: %s"
                      % (field.label, value), field.name)


def boolean(field, value):
    if value.__class__ is bool:
        return value
    if isinstance(value, str) and value.lower() in TRUE + FALSE:
        return value.lower() in TRUE
    raise parser_error("boolean", value)


def date(field, value):
    if isinstance(value, str) and real_date(value[:10]) and (len(value) == 10 or ZONED.match(value)):
        return value[:10]
    raise parser_error("date", value)


def datetime_(field, value):
    if isinstance(value, str) and ZONED.match(value):
        when = parse_iso(value)
        if when is not None:
            return stamp(when)
    raise parser_error("datetime", value)


def text(table, field, value):
    if not isinstance(value, str):
        raise parser_error("string", value)
    value = value.strip()
    if not value:
        return None
    if len(value) > field.length and field.type != "multipicklist":
        raise data_error("STRING_TOO_LONG", "%s %s: data value too large: %s (max length=%d)"
                         % (table.label, field.label, value[:255], field.length), field.name)
    if field.type == "email":
        if not EMAIL.match(value):
            raise data_error("INVALID_EMAIL_ADDRESS", "%s: invalid email address: %s" % (field.label, value),
                             field.name)
        return value.lower()
    return value


def bad_pick(field, value):
    if field.name == "CurrencyIsoCode":
        return data_error("INVALID_CURRENCY_ISO", "%s: invalid currency code: %s" % (field.label, value), field.name)
    return data_error("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "%s: bad value for restricted picklist field: %s"
                      % (field.label, value), field.name)


def multi(field, value):
    """Several choices in one text, kept in the order of the definition."""
    parts = list(dict.fromkeys(p.strip() for p in value.split(";") if p.strip()))
    if field.restricted:
        for part in parts:
            if part not in field.active:
                raise bad_pick(field, part)
    parts.sort(key=lambda p: field.active.get(p, len(field.active)))
    return ";".join(parts) or None


def take(table, field, value):
    """A JSON value as it is kept; None clears. References are only checked for their form."""
    kind = field.type
    if value is None:
        if kind == "boolean":
            raise data_error("INVALID_TYPE_ON_FIELD_IN_RECORD", "%s: value not of required type: " % field.label,
                             field.name)
        return None
    if kind in TEXTS:
        value = text(table, field, value)
        if value is None:
            return None
        if kind == "multipicklist":
            return multi(field, value)
        if field.restricted and field.options and value not in field.active:
            raise bad_pick(field, value)
        return value
    if kind == "boolean":
        return boolean(field, value)
    if value == "" and isinstance(value, str):
        return None
    if kind in NUMBERS:
        return number(field, value)
    if kind == "date":
        return date(field, value)
    if kind == "datetime":
        return datetime_(field, value)
    if not isinstance(value, str):
        raise parser_error("reference", value)
    found = ids.canonical(value.strip())
    if found is None:
        raise ApiError(400, "MALFORMED_ID", "%s: id value of incorrect type: %s" % (field.label, value), (field.name,))
    return found
