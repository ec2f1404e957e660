"""An answer on its way out."""

JSON = "application/json; odata.metadata=minimal"


class Answer:
    __slots__ = ("status", "body", "headers", "type", "entity")

    def __init__(self, status, body="", headers=None, type=JSON, entity=None):
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.type = type
        self.entity = entity
