"""/composite/sobjects: many records in one call, one by one or all together."""
from . import ids
from .errors import ApiError, deleted, no_column, no_resource
from .wire import Answer

MOST_WRITTEN = 200
MOST_READ = 2000


class Undone(Exception):
    """A record of an all-or-none collection failed."""


class Collections:
    def __init__(self, service):
        self.service, self.org = service, service.org

    def handle(self, call, root, rest):
        if not rest:
            if call.method == "DELETE":
                return self.delete_many(call)
            return self.service.only(call, "POST PATCH DELETE", lambda: self.write_many(call))
        table = self.service.table(rest[0])
        call.label += "/" + table.name
        if len(rest) == 2:
            field = self.org.view(table).get(rest[1].lower())
            if field is None or not (field.external or field.type == "id"):
                raise ApiError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: %s"
                               % rest[1])
            call.label += "/" + field.name
            return self.service.only(call, "PATCH", lambda: self.upsert_many(call, table, field))
        if len(rest) == 1:
            return self.service.only(call, "GET POST", lambda: self.read_many(call, root, table))
        raise no_resource()

    @staticmethod
    def records_of(call):
        body = call.json()
        records = body.get("records")
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise ApiError(400, "JSON_PARSER_ERROR", "The member records is missing or no list of objects")
        if len(records) > MOST_WRITTEN:
            raise ApiError(400, "EXCEEDED_MAX_SIZE_REQUEST", "Too many records: at most 200 are allowed, %d were given."
                           % len(records))
        return records, bool(body.get("allOrNone"))

    def each(self, items, whole, work):
        """work(item) -> result or ApiError, record by record or all together."""
        try:
            if not whole:
                return Answer(200, [self.one(item, work)[0] for item in items])
            with self.org.atomic():
                results = [self.one(item, work) for item in items]
                if any(failed for _, failed in results):
                    raise Undone(results)
            return Answer(200, [found for found, _ in results])
        except Undone as undone:
            text = "Record rolled back because not all records were valid and the request was using AllOrNone header"
            return Answer(200, [found if failed else {"success": False, "errors": [{
                "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK", "message": text, "fields": []}]}
                for found, failed in undone.args[0]])

    @staticmethod
    def one(item, work):
        try:
            return work(item), False
        except ApiError as error:
            if error.code == "JSON_PARSER_ERROR":
                raise
            out = {"success": False, "errors": [error.in_collection()]}
            id = item.get("id", item.get("Id")) if isinstance(item, dict) else item
            return ({"id": id, **out} if id else out), True

    def write_many(self, call):
        records, whole = self.records_of(call)
        creating = call.method == "POST"

        def work(record):
            table = self.type_of(record)
            if creating:
                return {"id": self.org.create(table, record, call.actor), "success": True, "errors": []}
            body = {k: v for k, v in record.items() if k.lower() != "id"}
            id = self.target(table, record.get("id", record.get("Id")))
            self.org.update(table, id, body, call.actor)
            return {"id": id, "success": True, "errors": []}
        return self.each(records, whole, work)

    @staticmethod
    def type_name(record):
        attributes = record.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        return name if isinstance(name, str) else ""

    def type_of(self, record):
        name = self.type_name(record)
        table = self.org.seen(name)
        if table is None:
            raise ApiError(400, "INVALID_TYPE", "sObject type '%s' is not supported." % name)
        return table

    def target(self, table, text):
        """The row that a record of a collection names by its id."""
        if not text:
            raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", ("Id",))
        id = ids.canonical(text) if isinstance(text, str) else None
        if id is None or id[:3] != table.prefix:
            raise ApiError(400, "MALFORMED_ID", "%s ID: id value of incorrect type: %s" % (table.label, text), ("Id",))
        rows = self.org.rows[table.name]
        if id not in rows.now:
            if id in rows.bin or id in rows.gone:
                raise deleted()
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ())
        return id

    def upsert_many(self, call, table, field):
        records, whole = self.records_of(call)
        if any(self.type_name(r).lower() != table.name.lower() for r in records):
            raise ApiError(400, "INVALID_TYPE", "All records must be of the type %s" % table.name)

        def work(record):
            key = next((v for k, v in record.items() if k.lower() == field.name.lower()), None)
            if field.type == "id":
                body = {k: v for k, v in record.items() if k.lower() != "id"}
                found = [self.target(table, key)] if key else []
            elif key in (None, ""):
                raise ApiError(400, "MISSING_ARGUMENT", "%s not specified" % field.name, (field.name,))
            elif any(k.lower() == "id" for k in record):
                raise ApiError(400, "INVALID_FIELD", "cannot specify Id in an upsert by external id", ())
            else:
                body = {k: v for k, v in record.items() if k.lower() != field.name.lower()}
                found = self.org.matching(table, field, key)
            if len(found) > 1:
                raise ApiError(400, "DUPLICATE_EXTERNAL_ID", "%s: more than one record found for external id field: %s"
                               % (field.name, found), (field.name,))
            if not found:
                made = self.org.create(table, body if field.type == "id" else {**body, field.name: key}, call.actor)
                return {"id": made, "success": True, "errors": [], "created": True}
            self.org.update(table, found[0], body, call.actor)
            return {"id": found[0], "success": True, "errors": [], "created": False}
        return self.each(records, whole, work)

    def delete_many(self, call):
        wanted = [w for w in call.query.get("ids", "").split(",") if w]
        if not wanted or len(wanted) > MOST_WRITTEN:
            raise ApiError(400, "MISSING_ARGUMENT" if not wanted else "EXCEEDED_MAX_SIZE_REQUEST",
                           "The parameter ids names 1 to 200 records.")

        def work(text):
            id = ids.canonical(text)
            table = self.org.by_prefix.get(id[:3]) if id else None
            if table is None:
                raise ApiError(400, "MALFORMED_ID", "malformed id %s" % text, ())
            id = self.target(table, id)
            self.org.delete(table, id, call.actor)
            return {"id": id, "success": True, "errors": []}
        return self.each(wanted, call.query.get("allOrNone", "").lower() == "true", work)

    def read_many(self, call, root, table):
        if call.method == "GET":
            wanted, fields = (call.query.get(n, "").split(",") for n in ("ids", "fields"))
        else:
            body = call.json()
            wanted, fields = body.get("ids"), body.get("fields")
        if not isinstance(wanted, list) or not isinstance(fields, list) or not fields:
            raise ApiError(400, "MISSING_ARGUMENT", "ids and fields are needed")
        if len(wanted) > MOST_READ:
            raise ApiError(400, "EXCEEDED_ID_LIMIT", "at most %d ids are allowed" % MOST_READ)
        view, names = self.org.view(table), []
        for name in fields:
            field = view.get(name) or view.get(str(name).lower())
            if field is None:
                raise no_column(name, table.name)
            names.append(field.name)
        if "Id" not in names:
            names.append("Id")
        get = self.service.reader(self.service.lags()[0])
        out = []
        for text in wanted:
            id = ids.canonical(text) if isinstance(text, str) else None
            if id is None or id[:3] != table.prefix:
                raise ApiError(400, "MALFORMED_ID", "malformed id %s" % text)
            vals = get(table.name, id)
            out.append(None if vals is None else self.service.shown(root, table, vals, names))
        return Answer(200, out)
