"""Refusals with the status and code the service documents."""


class ApiError(Exception):
    def __init__(self, status, code, message, headers=()):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = list(headers)


def bad_query(message):
    """A URI that names what does not exist or compares what cannot be compared."""
    return ApiError(400, "0x80060888", message)


def bad_payload(set_name, inner):
    return ApiError(
        400,
        "0x80048d19",
        "Error identified in Payload provided by the user for Entity :'%s', For more information on "
        "this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293"
        "  ---->  InnerException : %s." % (set_name, inner.rstrip(".")),
    )


def bad_argument(message):
    return ApiError(400, "0x80040203", message)


def no_segment(name):
    return ApiError(404, "0x8006088a", "Resource not found for the segment '%s'." % name)


def no_row(table, row_id):
    return ApiError(404, "0x80040217", "%s With Id = %s Does Not Exist" % (table, row_id))


def no_row_by_key(table):
    return ApiError(
        404,
        "0x80060891",
        "A record with the specified key values does not exist in %s entity" % table,
    )


def row_exists():
    return ApiError(412, "0x80040237", "A record with matching key values already exists.")


def version_differs():
    return ApiError(
        412,
        "0x80060882",
        "The version of the existing record doesn't match the RowVersion property provided.",
    )


def key_violated(key_name, labels):
    return ApiError(
        412,
        "0x80060892",
        "Entity Key %s violated. A record with the same value for %s already exists. A duplicate "
        "record cannot be created. Select one or more unique values and try again."
        % (key_name, ", ".join(labels)),
    )


def duplicate_found():
    return ApiError(
        412,
        "0x80040333",
        "A record was not created or updated because a duplicate of the current record already "
        "exists.",
    )


def bad_status(status, entity, state_label, row_id=None):
    where = " on %s" % entity if row_id is None else " on %s with Id %s" % (entity, row_id)
    return ApiError(
        400,
        "0x80048408",
        "%s is not a valid status code for state code %sState.%s%s."
        % (status, entity.capitalize(), state_label, where),
    )
