"""Refusals with the status and errorCode the REST API documents."""


class ApiError(Exception):
    """`extra` are further members of the error; `body`, when given, replaces the array of errors altogether."""

    def __init__(self, status, code, message, fields=None, extra=None, body=None, headers=None):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.fields, self.extra, self.body, self.headers = fields, extra, body, headers or {}

    def document(self):
        if self.body is not None:
            return self.body
        out = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            out["fields"] = list(self.fields)
        if self.extra:
            out.update(self.extra)
        return [out]

    def in_collection(self):
        out = {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}
        if self.extra:
            out.update(self.extra)
        return out


def data_error(code, message, *fields):
    return ApiError(400, code, message, fields)


def no_resource():
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def deleted():
    return ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", ())


def no_column(name, table):
    return ApiError(400, "INVALID_FIELD", "No such column '%s' on sobject of type %s" % (name, table))


def read_only(names):
    return data_error("INVALID_FIELD_FOR_INSERT_UPDATE",
                      "Unable to create/update fields: %s. Please check the security settings of this field and verify "
                      "that it is read/write for your profile or permission set." % ", ".join(names), *names)


def parser_error(kind, value):
    shape = {str: "VALUE_STRING", bool: "VALUE_TRUE" if value is True else "VALUE_FALSE", int: "VALUE_NUMBER_INT",
             float: "VALUE_NUMBER_FLOAT", list: "START_ARRAY", dict: "START_OBJECT"}.get(type(value), "VALUE_NULL")
    return ApiError(400, "JSON_PARSER_ERROR", "Cannot deserialize instance of %s from %s value %s or request may be "
                    "missing a required field at [line:1, column:2]" % (kind, shape, value if not isinstance(
                        value, (list, dict)) else ""))
