"""A call on its way in and an answer on its way out."""
import email.utils
import json
from urllib.parse import parse_qsl

from .errors import ApiError

JSON = "application/json;charset=UTF-8"
NOTHING = object()


class Answer:
    """`doc` is what becomes JSON; NOTHING = no body."""

    __slots__ = ("status", "doc", "headers")

    def __init__(self, status, doc=NOTHING, headers=None):
        self.status, self.doc, self.headers = status, doc, headers or {}


class Call:
    """One request, be it of HTTP or inside a composite one."""

    __slots__ = ("method", "raw_path", "query_string", "headers", "body", "doc", "actor", "origin", "label", "_query")

    def __init__(self, method, raw_path, query_string, headers, body, actor, origin, doc=NOTHING):
        self.method, self.raw_path, self.query_string = method, raw_path, query_string
        self.headers, self.body, self.doc, self.actor, self.origin = headers, body, doc, actor, origin
        self.label = raw_path
        self._query = None

    @property
    def query(self):
        if self._query is None:
            self._query = dict(parse_qsl(self.query_string, keep_blank_values=True))
        return self._query

    def json(self, kind=dict):
        if self.doc is NOTHING:
            content = self.headers.get("Content-Type", "")
            if "json" not in content.lower():
                raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "The content type '%s' is not supported; "
                               "'application/json' is." % content)
            try:
                self.doc = json.loads(self.body)
            except ValueError as error:
                raise ApiError(400, "JSON_PARSER_ERROR", "%s [line:%d, column:%d]" % (
                    str(error).split(":")[0], getattr(error, "lineno", 1), getattr(error, "colno", 1))) from None
        if not isinstance(self.doc, kind):
            raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity "
                           "body of the kind needed here.")
        return self.doc


def http_date(text):
    """Seconds of an HTTP date, or None."""
    try:
        found = email.utils.parsedate_to_datetime(text)
        return found.timestamp() if found.tzinfo or "GMT" in text else None
    except (TypeError, ValueError, IndexError):
        return None
