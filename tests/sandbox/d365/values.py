"""Column values: what the wire carries, what is kept, and the way between.

Kept form: text as str, whole numbers and choices as int, money and decimals as Decimal, instants as
'YYYY-MM-DDTHH:MM:SS[.fff]' in UTC without a zone letter (so that text order is time order), date-only
values as 'YYYY-MM-DD', look-ups and ids as lower-case GUID text. Null is never kept: the column is absent.
"""
import json
import re
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from .errors import ApiError, bad_payload

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")
DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?\s*(Z|z|[+-]\d\d:?\d\d)?\Z"
)
US_DATE = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})\Z")

dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
quote = json.encoder.encode_basestring


def utf16_length(text):
    """Dataverse counts UTF-16 units, so an astral character counts twice."""
    n = len(text)
    if text.isascii():
        return n
    return n + sum(1 for c in text if ord(c) > 0xFFFF)


def instant_text(epoch):
    return datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def parse_instant(text):
    """Any accepted spelling of an instant as UTC text without zone; None when it is none."""
    m = INSTANT.match(text)
    if not m:
        return None
    day, hh, mm, ss, frac, zone = m.groups()
    try:
        at = datetime.strptime(day, "%Y-%m-%d")
        at = at.replace(hour=int(hh or 0), minute=int(mm or 0), second=int(ss or 0))
    except ValueError:
        return None
    if zone and zone not in "Zz":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        at -= timedelta(minutes=minutes if zone[0] == "+" else -minutes)
    out = at.strftime("%Y-%m-%dT%H:%M:%S")
    if at.year < 1000:
        out = "%04d%s" % (at.year, out[out.index("-"):])
    frac = (frac or "").rstrip("0")
    return out + "." + frac if frac else out


def parse_date(text):
    if not DATE.match(text):
        return None
    try:
        date.fromisoformat(text)
    except ValueError:
        return None
    return text


def round_to(value, places):
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def to_decimal(value):
    """A JSON number as an exact Decimal; None when it is not a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    return None


def render(col, value):
    """JSON text of a kept value."""
    kind = col.type
    if value is None:
        return "null"
    if kind in ("text", "memo", "guid", "lookup", "owner", "customer", "multichoice", "date"):
        return quote(value)
    if kind == "money":
        return format(round_to(value, 4), "f")
    if kind == "decimal":
        return format(round_to(value, 4 if col.base_of else 10), "f")
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "datetime":
        return '"%sZ"' % value[:19]
    if kind == "double":
        return repr(float(value))
    return str(value)


def kind_error(set_name, value, edm):
    shown = dumps(value) if not isinstance(value, Decimal) else str(value)
    return bad_payload(
        set_name,
        "Microsoft.OData.ODataException: Cannot convert the literal '%s' to the expected type '%s'"
        % (shown.strip('"'), edm),
    )


def out_of_range(code, col, table, detail=""):
    return ApiError(
        400,
        code,
        "A validation error occurred.  The value of '%s' on record of type '%s' is outside the valid "
        "range.%s" % (col.name, table.name, detail),
    )


def accept(table, col, value):
    """Checks a value of the wire against its column and returns the kept form (None = null)."""
    if value is None:
        return None
    return ACCEPT[col.type](table, col, value)


def _text(table, col, value):
    if not isinstance(value, str):
        raise kind_error(table.set_name, value, "Edm.String")
    if col.max and utf16_length(value) > col.max:
        raise ApiError(
            400,
            "0x80044331",
            "A validation error occurred. The length of the '%s' attribute of the '%s' entity exceeded "
            "the maximum allowed length of '%d'." % (col.name, table.name, col.max),
        )
    return value or None


def _boolean(table, col, value):
    if not isinstance(value, bool):
        raise kind_error(table.set_name, value, "Edm.Boolean")
    return value


def _whole(table, col, value):
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.as_tuple().exponent >= 0:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise kind_error(table.set_name, value, "Edm.Int32")
    bits = 63 if col.type == "bigint" else 31
    if not -(1 << bits) <= value < (1 << bits):
        raise kind_error(table.set_name, value, "Edm.Int64" if bits == 63 else "Edm.Int32")
    return value


def _int(table, col, value):
    value = _whole(table, col, value)
    low, high = col.min, col.max
    if (low is not None and value < low) or (high is not None and value > high):
        raise out_of_range("0x8004432F", col, table)
    return value


def _choice(table, col, value):
    value = _whole(table, col, value)
    if value not in col.labels:
        raise ApiError(
            400,
            "0x8004431A",
            "A validation error occurred.  The value %d of '%s' on record of type '%s' is outside the "
            "valid range. Accepted Values: %s"
            % (value, col.name, table.name, ",".join(str(v) for v in col.labels)),
        )
    return value


def _number(table, col, value):
    number = to_decimal(value)
    if number is None or not number.is_finite():
        raise kind_error(table.set_name, value, "Edm.Decimal")
    low = col.min if col.min is not None else Decimal("-100000000000")
    high = col.max if col.max is not None else Decimal("100000000000")
    if not low <= number <= high:
        raise out_of_range("0x80044330", col, table)
    if col.type == "decimal":
        number = round_to(number, col.precision)
    return number


def _double(table, col, value):
    number = to_decimal(value)
    if number is None:
        raise kind_error(table.set_name, value, "Edm.Double")
    return float(number)


def _multichoice(table, col, value):
    if not isinstance(value, str):
        raise kind_error(table.set_name, value, "Edm.String")
    try:
        picked = sorted({int(v) for v in value.split(",") if v.strip()})
    except ValueError:
        raise kind_error(table.set_name, value, "Edm.Int32") from None
    for one in picked:
        _choice(table, col, one)
    return ",".join(str(v) for v in picked) or None


def _datetime(table, col, value):
    text = None
    if isinstance(value, str):
        text = parse_instant(value)
        if text is None:
            m = US_DATE.match(value)
            text = m and parse_instant("%s-%02d-%02d" % (m.group(3), int(m.group(1)), int(m.group(2))))
    if text is None:
        raise kind_error(table.set_name, value, "Edm.DateTimeOffset")
    if text < "1753-01-01":
        raise ApiError(
            400,
            "0x80040239",
            "DateTime is less than minumum value supported by CrmDateTime. Actual value: %s, Minimum "
            "value supported: 01/01/1753 00:00:00" % text,
        )
    return text[:19]


def _date(table, col, value):
    text = parse_date(value) if isinstance(value, str) else None
    if text is None:
        raise kind_error(table.set_name, value, "Edm.Date")
    return text


def _guid(table, col, value):
    if not isinstance(value, str) or not GUID.match(value):
        raise kind_error(table.set_name, value, "Edm.Guid")
    return value.lower()


ACCEPT = {
    "text": _text,
    "memo": _text,
    "boolean": _boolean,
    "int": _int,
    "bigint": _int,
    "choice": _choice,
    "state": _choice,
    "status": _choice,
    "multichoice": _multichoice,
    "money": _number,
    "decimal": _number,
    "double": _double,
    "datetime": _datetime,
    "date": _date,
    "guid": _guid,
    "lookup": _guid,
    "owner": _guid,
    "customer": _guid,
}

EDM = {
    "text": "Edm.String",
    "memo": "Edm.String",
    "multichoice": "Edm.String",
    "boolean": "Edm.Boolean",
    "int": "Edm.Int32",
    "bigint": "Edm.Int64",
    "choice": "Edm.Int32",
    "state": "Edm.Int32",
    "status": "Edm.Int32",
    "money": "Edm.Decimal",
    "decimal": "Edm.Decimal",
    "double": "Edm.Double",
    "datetime": "Edm.DateTimeOffset",
    "date": "Edm.Date",
    "guid": "Edm.Guid",
    "lookup": "Edm.Guid",
    "owner": "Edm.Guid",
    "customer": "Edm.Guid",
}


def load_json(raw):
    """Body text as Python values with exact numbers; ValueError when it is no JSON."""
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_no_constant)
    except (InvalidOperation, RecursionError) as e:
        raise ValueError(str(e)) from None


def _no_constant(name):
    raise ValueError("%s is no JSON number" % name)
